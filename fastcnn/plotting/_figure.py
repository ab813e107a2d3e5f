"""A figure that shows itself as a notebook cell's value."""

import io

import matplotlib.figure


class Figure(matplotlib.figure.Figure):
    """Matplotlib's, without pyplot, which would keep it."""

    def _repr_png_(self) -> tuple[bytes, dict[str, int]]:
        """The picture, and its size on the page in pixels of 1/96 inch: it has more, for sharp screens."""
        picture = io.BytesIO()
        self.savefig(picture, format="png")
        width, height = (round(96 * inches) for inches in self.get_size_inches())
        return picture.getvalue(), {"width": width, "height": height}
