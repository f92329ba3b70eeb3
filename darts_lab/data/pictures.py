"""Files of pictures, read with care: one that claims too much or is damaged is an error that names it."""

from contextlib import contextmanager
from pathlib import Path

import numpy as np

from darts_lab.runs.files import in_a_line

MOST_PIXELS = 40_000_000  # of one image read from a file; a header that claims more is not believed
GREY, COLOUR = ("1", "L", "LA", "La"), ("RGB", "RGBA", "RGBa", "RGBX", "P", "PA", "CMYK", "YCbCr", "HSV", "LAB")


def read_image(path: str | Path, mode: str = "RGB", size: tuple[int, int] | None = None) -> np.ndarray:
    """A picture as (height, width, 3) uint8, or (height, width) with `mode` "L", scaled to `size`, (height, width),
    where one is given. Raises ValueError, naming the file, where it holds none."""
    from PIL import Image

    with naming(path), Image.open(path) as image:
        if image.width * image.height > MOST_PIXELS:
            raise ValueError(f"claims {image.width} x {image.height} pixels; at most {MOST_PIXELS:,} are read")
        image = image.convert(mode)
        return np.asarray(image if size is None else image.resize(size[::-1], Image.Resampling.BILINEAR))


def is_grey(path: str | Path) -> bool:
    """Whether a picture has no colours, from its header. Raises ValueError, naming the file, where it has more than 8
    bits a channel, which `read_image` would cut off."""
    from PIL import Image

    with naming(path), Image.open(path) as image:
        if image.mode not in GREY + COLOUR:
            raise ValueError(f"has pixels of type {image.mode!r}; pictures of 8 bits a channel are read")
        return image.mode in GREY


@contextmanager
def naming(path: str | Path):
    """Puts the name of the file before what an error inside says about it."""
    from PIL import Image

    try:
        yield
    except (FileNotFoundError, PermissionError):
        raise
    except (OSError, ValueError, SyntaxError, EOFError, Image.DecompressionBombError) as error:
        raise ValueError(f"file {str(path)!r}: {in_a_line(error)}") from error
