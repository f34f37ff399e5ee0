"""A first hour with mixed models, in a few seconds: mathematics achievement in 160 schools.

    python -m fastlmm_hlm.demo [--out FOLDER]

Every step prints the call you would type and what it returns; two pictures are
written to FOLDER (default: demo_output).
"""

import argparse
import pathlib
import sys
import textwrap
import time

import pandas as pd

from fastlmm_hlm import (
    VarCorr, coef, datasets, fixef, group_lines, group_slopes, lmer, plot_averages, plot_lines, population_line, ranef, summary,
)
from fastlmm_hlm.errors import FastlmmError

MEANS = "mAch ~ 1 + (1 | school)"
SLOPES = "mAch ~ meanses * cses + sector * cses + (cses | school)"


def heading(text):
    print(f"\n{text}\n{'=' * len(text)}\n")


def say(text):
    print(textwrap.fill(" ".join(text.split()), 100) + "\n")


def call(code):
    print(f">>> {code}")


def timed(formula, data):
    """Fit, and the seconds it took."""
    began = time.perf_counter()
    fit = lmer(formula, data)
    return fit, time.perf_counter() - began


def show_data(data):
    heading("The data")
    say("""High School and Beyond, 1982: students within schools. mAch is a student's score in mathematics, ses the
        socio-economic status of the family, meanses its mean over the school, cses = ses - meanses the student's
        distance from that mean; sector is the kind of school.""")
    call('schools = datasets.load("Hsb82")')
    call("schools.head()")
    print(data.head().to_string())
    print(f"\n{len(data):,} students in {data['school'].nunique()} schools")


def show_means(fit):
    heading("1. How much do schools differ?")
    say("""Each school gets its own average, drawn from a normal distribution of school averages. The 1 before the bar is
        the overall average, (1 | school) lets the average vary from school to school.""")
    call(f'fit = lmer("{MEANS}", data=schools)')
    call("summary(fit)")
    print(summary(fit))
    between, within = VarCorr(fit)["school"].iloc[0, 0], fit.sigma() ** 2
    share = between / (between + within)
    say(f"""Intraclass correlation: {between:.3f} / ({between:.3f} + {within:.3f}) = {share:.3f}. So {100 * share:.0f}% of
        the variance of the scores lies between schools, and {share:.3f} is the correlation of two students of the same
        school.""")


def show_groups(fit):
    """Print the deviations and averages of the schools."""
    say("""The deviation of every school from the overall average (condval), with its standard deviation given the
        estimates (condsd). Small schools are drawn further towards zero.""")
    call("ranef(fit).to_frame().head()")
    deviations = ranef(fit).to_frame()
    print(deviations.head().to_string(), "\n")
    say("""The averages themselves are the sum of both parts: coef = fixef + ranef.""")
    call('coef(fit)["school"].head()')
    averages = coef(fit)["school"]
    print(averages.head().to_string(), "\n")
    first = averages.index[0]
    print(f"school {first}: {fixef(fit).iloc[0]:.4f} + ({deviations['condval'].iloc[0]:.4f}) = {averages.iloc[0, 0]:.4f}")


def show_slopes(fit):
    heading("2. Does status matter equally in every school?")
    say("""Now every school has its own regression line on cses, and the line may depend on what kind of school it is:
        meanses * cses and sector * cses let both the height and the slope change with the school's mean status and its
        sector; (cses | school) adds each school's own deviation in both.""")
    call(f'fit2 = lmer("{SLOPES}", data=schools)')
    call("summary(fit2)")
    print(summary(fit))
    beta = fixef(fit)
    say(f"""In public schools of average status one unit of cses is worth {beta['cses']:.2f} points; in Catholic schools
        {-beta['cses:sectorCatholic']:.2f} points less. The standard deviation of the slopes that remains between schools
        is {VarCorr(fit)['school'].stddev['cses']:.2f}.""")


def show_lines(fit, data):
    """Print the schools' lines, and the two of the population."""
    heading("3. The regression line of every school")
    say("""A line for every school, at the school's own meanses and sector: intercept and slope contain the fixed part,
        the interactions with the school's predictors, and the school's deviation.""")
    call('group_slopes(fit2, "cses").head()')
    print(group_slopes(fit, "cses").head().to_string(), "\n")
    say("""The same lines as points, each over the range of cses in its school: a data frame that any plotting library
        can draw.""")
    call('lines = group_lines(fit2, "cses", within=True)')
    lines = group_lines(fit, "cses", within=True)
    call("lines.head(6)")
    print(lines.head(6).to_string())
    print()
    say("""The population's line is drawn for each sector, for a school of that sector's average status:""")
    call('population_line(fit2, "cses", at={"sector": kind, "meanses": mean})')
    by_school = data.drop_duplicates("school").set_index("school")
    status = by_school.groupby("sector", observed=True)["meanses"].mean()
    population = pd.concat(
        [population_line(fit, "cses", at={"sector": kind, "meanses": mean}).assign(sector=kind) for kind, mean in status.items()]
    )
    print(population.to_string(index=False))


def draw(folder, means, slopes):
    """Write a picture of each fit; returns their paths."""
    folder.mkdir(parents=True, exist_ok=True)
    paths = folder / "school_averages.png", folder / "school_lines.png"
    ax = plot_averages(means, xlabel="mathematics achievement", ylabel=f"{means.ngrps()['school']} schools, in order",
                       title="Average of each school, with 95% intervals")
    ax.figure.savefig(paths[0], dpi=150)
    ax = plot_lines(slopes, "cses", by="sector", within=True, xlabel="status relative to the school's mean (cses)",
                    ylabel="mathematics achievement", title="Regression line of each school")
    ax.figure.savefig(paths[1], dpi=150)
    return paths


def main(arguments=None):
    """Run the tour; returns 0, or 1 if the pictures could not be made."""
    parser = argparse.ArgumentParser(prog="python -m fastlmm_hlm.demo", description=__doc__.splitlines()[0])
    parser.add_argument("--out", default="demo_output", metavar="FOLDER", help="where the pictures go (default: %(default)s)")
    folder = pathlib.Path(parser.parse_args(arguments).out)

    data = datasets.load("Hsb82")
    show_data(data)
    means, first_seconds = timed(MEANS, data)
    show_means(means)
    show_groups(means)
    slopes, second_seconds = timed(SLOPES, data)
    show_slopes(slopes)
    show_lines(slopes, data)

    heading("4. Pictures")
    status = 0
    try:
        for path in draw(folder, means, slopes):
            print(f"written: {path}")
    except (FastlmmError, OSError) as error:
        print(f"no pictures: {error}")
        status = 1

    heading("What the fits cost")
    print(f"{'model':{len(SLOPES)}}  {'seconds':>7}  {'evaluations':>11}")
    for formula, fit, seconds in ((MEANS, means, first_seconds), (SLOPES, slopes, second_seconds)):
        print(f"{formula:{len(SLOPES)}}  {seconds:7.3f}  {fit.optinfo['evaluations']:11d}")
    print()
    say("Seconds of the whole call, reading the formula included; evaluations of the REML criterion until its minimum.")
    return status


if __name__ == "__main__":
    sys.exit(main())
