"""A heat map with marks in the cells that count."""

from __future__ import annotations

import pandas as pd
import plotly.graph_objects as go

from emotion_interp.figures.picture import Picture
from emotion_interp.figures.theme import COLOURS, SEQUENTIAL, checked, finish, plain


def marked_heatmap(
    frame: pd.DataFrame,
    row: str,
    column: str,
    value: str,
    mark: str,
    *,
    title: str = "",
    how: str = "",
    **axes: str,
) -> go.Figure:
    """AUROC by rows and columns, in the order in which they come; a dot where `mark` is true.

    Args:
        frame: one row per cell.
        row: column of the rows' names.
        column: column of the columns' names.
        value: column of the AUROC, coloured from chance (.5) upwards.
        mark: column of true and false.
        title: the figure's title.
        how: how to read it.
        **axes: `row_title`, `column_title`.

    Raises:
        EmotionInterpError: missing columns, or no rows.

    Example:
        >>> cells = [("a", "joy", 0.9, True), ("a", "fear", 0.5, False)]
        >>> marked_heatmap(pd.DataFrame(cells, columns=list("rcvm")), "r", "c", "v", "m").data[1].x
        ('joy',)
    """
    frame = checked(frame, "marked_heatmap", (row, column, value, mark), (value,))
    rows, columns = (list(dict.fromkeys(frame[c].astype(str))) for c in (row, column))
    cells = frame.assign(**{row: frame[row].astype(str), column: frame[column].astype(str)}).drop_duplicates(
        [row, column]
    )
    grid = cells.pivot(index=row, columns=column, values=value).reindex(index=rows, columns=columns)
    marks = cells.pivot(index=row, columns=column, values=mark).reindex(index=rows, columns=columns)
    figure = Picture(
        go.Heatmap(
            z=grid.to_numpy(dtype=float),
            x=[plain(c) for c in columns],
            y=[plain(r) for r in rows],
            customdata=[["confirmed" if m == 1 else "" for m in line] for line in marks.to_numpy().tolist()],
            colorscale=SEQUENTIAL,
            zmin=0.5,
            zmax=1.0,
            xgap=1,
            ygap=1,
            colorbar={"title": {"text": "AUROC"}, "thickness": 14},
            hovertemplate="%{y}<br>%{x}<br>AUROC %{z:.3f} %{customdata}<extra></extra>",
        )
    )
    sure = cells[cells[mark].astype(bool)]
    figure.add_scatter(
        x=[plain(c) for c in sure[column]],
        y=[plain(r) for r in sure[row]],
        mode="markers",
        marker={"symbol": "circle", "size": 7, "color": "#ffffff", "line": {"color": COLOURS[1], "width": 2}},
        hoverinfo="skip",
        showlegend=False,
    )
    finish(
        figure,
        title,
        how,
        height=max(180, 19 * len(rows) + 110),
        min_width=max(420, 21 * len(columns) + 280),
        narrow={"xaxis.tickfont.size": 8, "yaxis.tickfont.size": 8, "yaxis.title.text": "", "margin.b": 80},
        narrow_height=max(180, 15 * len(rows) + 110),
        narrow_min_width=None if len(columns) <= 30 else 8 * len(columns) + 120,
        narrow_traces={0: {"showscale": False}},
    )
    across = {"type": "category", "showgrid": False, "dtick": 1, "tickfont": {"size": 11}}
    figure.update_xaxes(title=axes.get("column_title", ""), tickangle=-90, **across)
    figure.update_yaxes(title=axes.get("row_title", ""), autorange="reversed", **across)
    return figure
