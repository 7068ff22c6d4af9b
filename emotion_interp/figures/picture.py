"""A Plotly figure that also shows itself where no script runs."""

from __future__ import annotations

import json
from collections.abc import Iterable

import plotly.graph_objects as go

from emotion_interp.figures.static import svg


class Picture(go.Figure):
    """A figure whose output in a notebook holds a picture (SVG) beside Plotly's own data.

    Jupyter and VS Code show Plotly's; a code host, an exported page and a PDF show the picture. Plotly's HTML, which holds
    megabytes of script and is blank where scripts are taken out, is left out.
    """

    def _repr_mimebundle_(
        self,
        include: Iterable[str] | None = None,
        exclude: Iterable[str] | None = None,
        validate: bool = True,
        **kwargs: object,
    ) -> dict[str, object]:
        del validate, kwargs
        bundle: dict[str, object] = {
            # read back from Plotly's own JSON, which has null for the gaps of a line: a kernel writes NaN, which is no JSON
            "application/vnd.plotly.v1+json": json.loads(str(self.to_json(validate=False))),
            "image/svg+xml": svg(self),
            "text/plain": f"Figure: {self.layout.title.text or ''}",
        }
        kept = set(bundle if include is None else include) - set(exclude or ())
        return {kind: value for kind, value in bundle.items() if kind in kept}

    def _ipython_display_(self) -> None:
        # Plotly's own would choose a renderer, which may open a browser
        from IPython.display import display

        display(self._repr_mimebundle_(), raw=True)

    def static(self) -> str:
        """The picture as SVG."""
        return svg(self)
