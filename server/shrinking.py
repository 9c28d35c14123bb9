"""A small picture of the one on standard input, written to standard output: a program of its own.

Decoders are written in C and a stranger chooses what they read, so they run where time, memory and what may be
written are bounded by the kernel, with no database, no key and no name of a file. Exit code 0 and, on the standard
error, width and height of the whole picture as it is shown; or another exit code, and there is no small picture.
"""

import contextlib
import io
import os
import resource
import sys

from PIL import Image, ImageOps

SIDE = 640
"""Of the longer side, in pixels."""
MOST_PIXELS = 40_000_000
"""As decoded, which for a JPEG is less than it has: it is decoded at an eighth of its size where that is enough."""
CPU_SECONDS = 5
MEMORY_BYTES = 768 * 1024 * 1024
WRITTEN_BYTES = 1024 * 1024
QUALITY = 80


def bounded() -> None:
    os.nice(10)
    for what, most in (
        (resource.RLIMIT_CPU, CPU_SECONDS),
        (resource.RLIMIT_AS, MEMORY_BYTES),
        (resource.RLIMIT_FSIZE, WRITTEN_BYTES),
        (resource.RLIMIT_CORE, 0),
    ):
        resource.setrlimit(what, (most, most))


def shrink(kind: str) -> tuple[int, int, Image.Image]:
    """Width and height of the first picture, and the small one, upright. Raises whatever a decoder raises."""
    Image.MAX_IMAGE_PIXELS = None  # asked below, once it is known how many are decoded
    with Image.open(sys.stdin.buffer, formats=[kind]) as whole:
        width, height = whole.size
        whole.draft(None, (SIDE * 2, SIDE * 2))
        if whole.width * whole.height > MOST_PIXELS:
            raise ValueError("more pixels than are worth it")
        whole.load()
        profile = whole.info.get("icc_profile")
        turned = whole.getexif().get(0x0112, 1)
        clear = whole.mode in ("RGBA", "LA", "PA", "RGBa", "La") or "transparency" in whole.info
        ratio = min(1.0, SIDE / max(whole.size))
        size = (max(1, round(whole.width * ratio)), max(1, round(whole.height * ratio)))
        plain = whole.mode in ("RGB", "RGBA", "CMYK", "L")
        drawn: Image.Image = whole if plain else whole.convert("RGBA" if clear else "RGB")
        small = drawn.resize(size, Image.Resampling.LANCZOS, reducing_gap=2.0)
    if profile:
        small = _as_seen(small, profile)
    small = small.convert("RGBA" if clear else "RGB")
    small.getexif()[0x0112] = turned
    upright = ImageOps.exif_transpose(small)
    upright.info = {}
    return (height, width, upright) if turned in (5, 6, 7, 8) else (width, height, upright)


def _as_seen(small: Image.Image, profile: bytes) -> Image.Image:
    """In the colours that everybody's screen takes for granted, so that no profile has to go with it."""
    from PIL import ImageCms

    with contextlib.suppress(ImageCms.PyCMSError, OSError, ValueError):
        own = ImageCms.ImageCmsProfile(io.BytesIO(profile))
        mode = "RGBA" if small.mode == "RGBA" else "RGB"
        seen = ImageCms.profileToProfile(small, own, ImageCms.createProfile("sRGB"), outputMode=mode)
        return seen or small
    return small


def main() -> None:
    bounded()
    width, height, small = shrink(sys.argv[1])
    small.save(sys.stdout.buffer, "WEBP", quality=QUALITY)
    sys.stdout.buffer.flush()
    sys.stderr.write(f"{width} {height}")


if __name__ == "__main__":
    main()
