"""A sheet as a table of a Word document, by the package python-docx."""

from fastlmm_hlm.errors import ArgumentError


def save_word(sheet, path):
    """Write a sheet to a .docx file.

    Parameters
    ----------
    sheet : Sheet
    path : path

    Raises
    ------
    ArgumentError
        If python-docx is not installed.
    """
    try:
        from docx import Document
    except ImportError:
        raise ArgumentError(
            "model_table.save: a .docx file needs the package python-docx, which is not installed; pip install python-docx, "
            "or save as .html, which Word opens too."
        ) from None
    document = Document()
    if sheet.title:
        document.add_paragraph(sheet.title)
    rows = sheet.rows()
    table = document.add_table(len(sheet.header) + len(rows), sheet.width + 1)
    for i, head in enumerate(sheet.header):
        for j, word in enumerate(head):
            _write(table.cell(i, j), word, "", "l" if j == 0 else "c", bold=True)
    for i, (name, cells) in enumerate(rows, start=len(sheet.header)):
        _write(table.cell(i, 0), name, "", "l")
        for j, (cell, side) in enumerate(zip(cells, sheet.align, strict=True), start=1):
            _write(table.cell(i, j), cell.text, cell.mark, {"d": "c"}.get(side, side))
    at = 0
    for count in (len(sheet.header), *map(len, sheet.blocks)):
        _rule(table.rows[at], "top")
        at += count
    _rule(table.rows[-1], "bottom")
    for note in sheet.notes:
        document.add_paragraph(note)
    document.save(str(path))


def _write(cell, word, mark, side, bold=False):
    from docx.enum.text import WD_ALIGN_PARAGRAPH
    from docx.shared import Pt

    sides = {"l": WD_ALIGN_PARAGRAPH.LEFT, "r": WD_ALIGN_PARAGRAPH.RIGHT, "c": WD_ALIGN_PARAGRAPH.CENTER}
    paragraph = cell.paragraphs[0]
    paragraph.alignment = sides[side]
    paragraph.paragraph_format.space_after = Pt(0)
    paragraph.add_run(word).bold = bold
    if mark:
        paragraph.add_run(mark).font.superscript = True


def _rule(row, side):
    """A thin line above ("top") or below ("bottom") a row; Word's model has it cell by cell."""
    from docx.oxml import OxmlElement
    from docx.oxml.ns import qn

    for cell in row.cells:
        properties = cell._tc.get_or_add_tcPr()
        borders = properties.find(qn("w:tcBorders"))
        if borders is None:
            borders = OxmlElement("w:tcBorders")
            properties.append(borders)
        line = OxmlElement(f"w:{side}")
        for name, value in (("val", "single"), ("sz", "6"), ("color", "auto")):
            line.set(qn(f"w:{name}"), value)
        borders.append(line)
