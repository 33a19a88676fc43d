"""Small documents of every binary kind, made here: no file of them is kept."""

import io
import zipfile

WORD = 'xmlns:w="http://schemas.openxmlformats.org/wordprocessingml/2006/main"'
CORE = (
    '<cp:coreProperties xmlns:cp="http://schemas.openxmlformats.org/package/2006/metadata/'
    'core-properties" xmlns:dc="http://purl.org/dc/elements/1.1/"><dc:title>{}</dc:title>'
    "<dc:creator>Ada Byron</dc:creator></cp:coreProperties>"
)


def zipped(members):
    """A zip file of texts or bytes by name."""
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in members.items():
            archive.writestr(name, content)
    return out.getvalue()


def pdf(pages, title=""):
    """A PDF whose pages are lists of lines."""
    objects = ["<< /Type /Catalog /Pages 2 0 R >>", ""]
    kids = []
    for lines in pages:
        shown = "\n".join(
            f"1 0 0 1 50 {750 - 14 * at} Tm ({line}) Tj" for at, line in enumerate(lines)
        )
        stream = f"BT /F1 11 Tf\n{shown}\nET" if lines else "0 0 100 100 re f"
        kids.append(f"{len(objects) + 1} 0 R")
        objects.append(
            "<< /Type /Page /Parent 2 0 R /MediaBox [0 0 612 792] /Resources << /Font << /F1 << "
            "/Type /Font /Subtype /Type1 /BaseFont /Courier /Encoding /WinAnsiEncoding >> >> >> "
            f"/Contents {len(objects) + 2} 0 R >>"
        )
        objects.append(f"<< /Length {len(stream)} >>\nstream\n{stream}\nendstream")
    objects[1] = f"<< /Type /Pages /Kids [{' '.join(kids)}] /Count {len(kids)} >>"
    objects.append(f"<< /Title ({title}) >>")
    out, offsets = "%PDF-1.4\n", []
    for number, content in enumerate(objects, 1):
        offsets.append(len(out))
        out += f"{number} 0 obj\n{content}\nendobj\n"
    table = "".join(f"{offset:010} 00000 n \n" for offset in offsets)
    return (
        f"{out}xref\n0 {len(objects) + 1}\n0000000000 65535 f \n{table}trailer\n"
        f"<< /Size {len(objects) + 1} /Root 1 0 R /Info {len(objects)} 0 R >>\n"
        f"startxref\n{len(out)}\n%%EOF\n"
    ).encode("latin-1")


def docx(body, title="The Larkmoor report"):
    """A Word file of the XML of its body."""
    types = (
        '<Types xmlns="http://schemas.openxmlformats.org/package/2006/content-types"><Default '
        'Extension="rels" ContentType="application/vnd.openxmlformats-package.relationships+xml"/>'
        '<Default Extension="xml" ContentType="application/vnd.openxmlformats-officedocument.'
        'wordprocessingml.document.main+xml"/></Types>'
    )
    relations = (
        '<Relationships xmlns="http://schemas.openxmlformats.org/package/2006/relationships">'
        '<Relationship Id="r1" Type="http://schemas.openxmlformats.org/officeDocument/2006/'
        'relationships/officeDocument" Target="word/document.xml"/></Relationships>'
    )
    styles = "".join(
        f'<w:style w:type="paragraph" w:styleId="Heading{n}">'
        f'<w:name w:val="heading {n}"/></w:style>'
        for n in (1, 2)
    )
    return zipped(
        {
            "[Content_Types].xml": types,
            "_rels/.rels": relations,
            "docProps/core.xml": CORE.format(title),
            "word/styles.xml": f"<w:styles {WORD}>{styles}</w:styles>",
            "word/document.xml": f"<w:document {WORD}><w:body>{body}</w:body></w:document>",
        }
    )


def word_paragraph(text, style=""):
    """A paragraph of a Word file."""
    chosen = f'<w:pPr><w:pStyle w:val="{style}"/></w:pPr>' if style else ""
    return f"<w:p>{chosen}<w:r><w:t>{text}</w:t></w:r></w:p>"


def word_table(rows):
    """A table of a Word file."""
    lines = ["".join(f"<w:tc>{word_paragraph(cell)}</w:tc>" for cell in row) for row in rows]
    return f"<w:tbl>{''.join(f'<w:tr>{line}</w:tr>' for line in lines)}</w:tbl>"


def pptx(slides):
    """A presentation: title and lines of each slide."""
    from pptx import Presentation

    made = Presentation()
    for title, lines in slides:
        slide = made.slides.add_slide(made.slide_layouts[1])
        slide.shapes.title.text = title
        slide.placeholders[1].text = "\n".join(lines)
        slide.notes_slide.notes_text_frame.text = f"Notes on {title}."
    out = io.BytesIO()
    made.save(out)
    return out.getvalue()


def xlsx(sheets):
    """A workbook: rows of each sheet by its name."""
    import xlsxwriter

    out = io.BytesIO()
    with xlsxwriter.Workbook(out, {"in_memory": True}) as book:
        for name, rows in sheets.items():
            sheet = book.add_worksheet(name)
            for at, row in enumerate(rows):
                sheet.write_row(at, 0, row)
    return out.getvalue()


def odt(title, paragraphs, items, rows):
    """An OpenDocument text with a heading, paragraphs, a list and a table."""
    from odfdo import Document, Header, List, ListItem, Paragraph, Table

    made = Document("text")
    made.body.clear()
    made.meta.title = title
    made.body.append(Header(1, "Bridges"))
    for text in paragraphs:
        made.body.append(Paragraph(text))
    listed = List()
    for item in items:
        listed.append(ListItem(item))
    made.body.append(listed)
    table = Table("t", width=len(rows[0]), height=len(rows))
    table.set_values(rows)
    made.body.append(table)
    out = io.BytesIO()
    made.save(out)
    return out.getvalue()


def epub(chapters, title="The Larkmoor Bridge"):
    """A book of chapters: each a heading and a text."""
    items = "".join(
        f'<item id="c{n}" href="c{n}.xhtml" media-type="application/xhtml+xml"/>'
        for n in range(len(chapters))
    )
    spine = "".join(f'<itemref idref="c{n}"/>' for n in range(len(chapters)))
    package = (
        '<package xmlns="http://www.idpf.org/2007/opf"><metadata '
        f'xmlns:dc="http://purl.org/dc/elements/1.1/"><dc:title>{title}</dc:title>'
        "<dc:creator>Ada &amp; Co</dc:creator></metadata>"
        f"<manifest>{items}</manifest><spine>{spine}</spine></package>"
    )
    container = (
        '<container><rootfiles><rootfile full-path="OEBPS/book.opf"/></rootfiles></container>'
    )
    pages = {
        f"OEBPS/c{n}.xhtml": f"<html><body><h1>{head}</h1><p>{text}</p></body></html>"
        for n, (head, text) in enumerate(chapters)
    }
    return zipped(
        {
            "mimetype": "application/epub+zip",
            "META-INF/container.xml": container,
            "OEBPS/book.opf": package,
            **pages,
        }
    )
