"""A figure that is displayed when it is the value of a notebook cell."""

import io

import matplotlib.figure


class Figure(matplotlib.figure.Figure):
    """Matplotlib's figure, made without pyplot, which would keep a reference to it."""

    def _repr_png_(self) -> tuple[bytes, dict[str, int]]:
        """Return the PNG and its display size in CSS pixels of 1/96 inch; the PNG has more pixels than that."""
        picture = io.BytesIO()
        self.savefig(picture, format="png")
        width, height = (round(96 * inches) for inches in self.get_size_inches())
        return picture.getvalue(), {"width": width, "height": height}
