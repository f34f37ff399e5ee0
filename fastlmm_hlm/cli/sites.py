"""site and pool: models of sites that may not share rows."""

import pathlib

from fastlmm_hlm.cli.arguments import DATA_HELP, check_folder
from fastlmm_hlm.cli.fitting import show_fit
from fastlmm_hlm.cli.reading import id_columns, read_table
from fastlmm_hlm.inference.ddf import METHODS
from fastlmm_hlm.sites import SiteCrossProducts, lmer_from_crossproducts, site_crossproducts
from fastlmm_hlm.sites.summing import as_study


def add_sites(commands):
    """The commands of sites that may not share rows."""
    site = commands.add_parser("site", help="sum the rows of one site into a file without rows")
    site.add_argument("study", metavar="STUDY", help="a file that Study(...).save() wrote, or a formula")
    site.add_argument("data", metavar="DATA", help=DATA_HELP)
    site.add_argument("-o", "--output", metavar="FILE", required=True, type=pathlib.Path, help="write the sums there, such as north.flmm")
    site.add_argument("--site", metavar="NAME", help="name of the site; that of FILE without its ending by default")
    site.add_argument("--min-cell", metavar="N", type=int, default=5, help="groups with fewer rows are small (5)")
    site.add_argument("--small", choices=("warn", "refuse", "drop"), default="warn", help="what to do with small groups")
    site.set_defaults(run=run_site)

    pool = commands.add_parser("pool", help="fit a model to the sums of all sites and print its summary")
    pool.add_argument("files", metavar="FILE", nargs="+", help="what the command site wrote")
    pool.add_argument("--ml", action="store_true", help="maximize the likelihood instead of what the study says")
    pool.add_argument("--ddf", choices=METHODS, default=METHODS[0], help="degrees of freedom of the t-tests")
    pool.add_argument("--json", action="store_true", help="print one JSON object instead of the summary")
    pool.add_argument("--ranef", action="store_true", help="also give the random effects")
    pool.add_argument("--output", metavar="FILE", type=pathlib.Path, help="write there instead of to stdout")
    pool.set_defaults(run=run_pool)


def run_site(options):
    """fastlmm-hlm site; prints what the file reveals and returns 0."""
    study = as_study(options.study)
    name = options.site or options.output.name.removesuffix(".flmm")
    sums = site_crossproducts(study, read_table(options.data, id_columns(study.formula)), site=name)
    sums.save(options.output, min_cell=options.min_cell, small=options.small)
    print(SiteCrossProducts.load(options.output).disclosure(), flush=True)
    return 0


def run_pool(options):
    """fastlmm-hlm pool; returns the exit code."""
    check_folder("output", options.output)
    return show_fit(lmer_from_crossproducts(options.files, REML=False if options.ml else None), options)
