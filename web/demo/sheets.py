"""A sheet as a PDF of one page (ISO 32000-1), the smallest that viewers open without complaint; its curve as a PNG."""

import io

from PIL import Image, ImageDraw

from web.demo.story import Sheet

WIDTH, HEIGHT, LOWEST, HIGHEST = 1280, 640, 229.0, 234.0

PAGE = "<< /Type /Page /Parent 2 0 R /MediaBox [0 0 595 842] /Contents 4 0 R /Resources << /Font << /F 5 0 R >> >> >>"
FONT = "<< /Type /Font /Subtype /Type1 /BaseFont /Helvetica /Encoding /WinAnsiEncoding >>"


def pdf(sheet: Sheet) -> bytes:
    """The same bytes for the same sheet. Letters are those of Windows-1252."""
    shown = [f"BT /F 18 Tf 56 770 Td ({_escaped(sheet.title)}) Tj /F 11 Tf 0 -14 Td"]
    shown += [f"0 -18 Td ({_escaped(line)}) Tj" for line in sheet.lines]
    drawing = "\n".join([*shown, "ET"]).encode("cp1252")
    objects = [
        b"<< /Type /Catalog /Pages 2 0 R >>",
        b"<< /Type /Pages /Kids [3 0 R] /Count 1 >>",
        PAGE.encode(),
        b"<< /Length %d >>\nstream\n%s\nendstream" % (len(drawing), drawing),
        FONT.encode(),
    ]
    return _file(objects)


def curve(sheet: Sheet) -> bytes:
    """Volts over hours, drawn finer than it is shown, so that the line is smooth."""
    fine = 2
    drawn = Image.new("RGB", (WIDTH * fine, HEIGHT * fine), "#fffefb")
    pen, hours, left = ImageDraw.Draw(drawn), sheet.volts[-1][0], 70 * fine

    def place(hour: float, volts: float) -> tuple[float, float]:
        across = left + hour / hours * (WIDTH * fine - 2 * left)
        return across, (HIGHEST - volts) / (HIGHEST - LOWEST) * HEIGHT * fine

    for volts in range(round(LOWEST) + 1, round(HIGHEST)):
        pen.line([place(0, volts), place(hours, volts)], fill="#d8d5cc", width=2 * fine)
        pen.text((12 * fine, place(0, volts)[1] - 14 * fine), f"{volts} V", fill="#5d5a52", font_size=22 * fine)
    pen.line([place(*point) for point in sheet.volts], fill="#1a5c4a", width=7 * fine, joint="curve")
    kept = io.BytesIO()
    drawn.resize((WIDTH, HEIGHT), Image.Resampling.LANCZOS).save(kept, "PNG", optimize=True)
    return kept.getvalue()


def _escaped(text: str) -> str:
    return text.replace("\\", "\\\\").replace("(", "\\(").replace(")", "\\)")


def _file(objects: list[bytes]) -> bytes:
    """Objects, then the table of where each begins."""
    written, begins = b"%PDF-1.4\n%\xe2\xe3\xcf\xd3\n", []
    for number, content in enumerate(objects, 1):
        begins.append(len(written))
        written += b"%d 0 obj\n%s\nendobj\n" % (number, content)
    table = b"".join(b"%010d 00000 n \n" % place for place in begins)
    head = b"xref\n0 %d\n0000000000 65535 f \n" % (len(objects) + 1)
    tail = b"trailer\n<< /Size %d /Root 1 0 R >>\nstartxref\n%d\n%%%%EOF\n" % (len(objects) + 1, len(written))
    return written + head + table + tail
