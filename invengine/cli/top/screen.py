"""The screen: four panels that are refreshed in place, and keys."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar, Final, Protocol

from rich.text import Text
from textual.app import App, ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Grid, Vertical, VerticalScroll
from textual.screen import ModalScreen
from textual.widgets import DataTable, Footer, Input, Static

from invengine.cli.exits import sentence
from invengine.cli.output import Cell
from invengine.cli.top import looks
from invengine.cli.top.looks import Look

HELP: Final = """\
Tab, arrows  another panel, another row
Enter        why so many: the SKU of the row explained
s            sort the panel by its next column
/            only SKUs with these letters; empty: all
c  l         another channel, another location; empty: all
p            pause, and go on
r            look now
q            quit

SHORT units are reserved and not there. LOW and OUT are what
the channel can take. Changes are of the last minute.

Escape closes this."""

_HEADS: Final = {
    "changes_per_minute": "per min",
    "available": "avail",
    "quantity": "units",
    "per_second": "per s",
    "p50_milliseconds": "p50 ms",
    "p99_milliseconds": "p99 ms",
}


class Source(Protocol):
    """Where the screen has its data from."""

    channel: str
    location: str

    async def look(self) -> Look:
        """What there is now."""

    async def narrow(self, *, channel: str, location: str) -> None:
        """Looks at another channel or location from now on."""

    async def explain(self, sku: str) -> list[str]:
        """Why there are just so many, in lines."""


class Panel(DataTable[Text]):
    """A table that keeps its place while its rows come anew, sorted by a column."""

    def __init__(self, columns: Sequence[str], title: str, *, panel_id: str) -> None:
        super().__init__(cursor_type="row", zebra_stripes=False, id=panel_id, cell_padding=1)
        self._names = tuple(columns)
        self._rows: list[tuple[Cell, ...]] = []
        self._sorted_by: int | None = None
        self.border_title = title

    def on_mount(self) -> None:
        """Its columns."""
        self._head()

    def _head(self) -> None:
        self.clear(columns=True)
        for number, name in enumerate(self._names):
            shown = _HEADS.get(name, name.replace("_", " "))
            self.add_column(f"{shown} ▾" if number == self._sorted_by else shown, key=name)

    def show(self, rows: Sequence[tuple[Cell, ...]]) -> None:
        """Puts rows in place of those there."""
        self._rows = list(rows)
        ordered = self._rows if self._sorted_by is None else looks.sorted_rows(self._rows, self._sorted_by)
        row = self.cursor_row
        self.clear()
        for cells in ordered:
            self.add_row(*map(_shown, cells))
        self.move_cursor(row=min(row, max(0, len(ordered) - 1)))

    def sort_by_next(self) -> None:
        """By the next column; after the last one as they come."""
        following = 0 if self._sorted_by is None else self._sorted_by + 1
        self._sorted_by = following if following < len(self._names) else None
        rows = self._rows
        self._head()
        self.show(rows)

    def sku(self) -> str:
        """That of the row where the cursor is; empty where there is none."""
        return self.get_row_at(self.cursor_row)[0].plain if self.row_count and self._names[0] == "sku" else ""


def _shown(cell: Cell) -> Text:
    """A cell as the screen has it, numbers at the right."""
    text = f"{cell:g}" if isinstance(cell, float) else str(cell)
    return Text(text, justify="left" if isinstance(cell, str) else "right")


class Page(ModalScreen[None]):
    """Lines over the screen until Escape."""

    BINDINGS: ClassVar[list[BindingType]] = [Binding("escape,q,enter", "dismiss", "Close")]
    CSS = "Page { align: center middle; } Page VerticalScroll { width: 90%; height: 80%; border: round $accent; }"

    def __init__(self, title: str, lines: Sequence[str]) -> None:
        super().__init__()
        self._title, self._lines = title, lines

    def compose(self) -> ComposeResult:
        """The lines, to be scrolled."""
        with VerticalScroll() as area:
            area.border_title = self._title
            yield Static("\n".join(self._lines), markup=False)


class TopScreen(App[None]):
    """What happens at the stock, refreshed every `interval_seconds`."""

    ENABLE_COMMAND_PALETTE = False
    CSS = """
    #state { height: 1; background: $primary-background; }
    #state.away { background: $error; text-style: bold; }
    Grid { grid-size: 2 2; grid-rows: 1fr 1fr; }
    Panel { border: round $primary; height: 1fr; scrollbar-size: 1 1; }
    Panel:focus { border: round $accent; }
    #server { border: round $primary; }
    #server Panel { border: none; }
    #facts { height: auto; max-height: 3; }
    #asked { display: none; height: 3; }
    #asked.shown { display: block; }
    """
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("q", "quit", "Quit"),
        Binding("question_mark", "help", "Help", key_display="?"),
        Binding("s", "sort", "Sort"),
        Binding("slash", "ask('sku')", "Filter", key_display="/"),
        Binding("c", "ask('channel')", "Channel"),
        Binding("l", "ask('location')", "Location"),
        Binding("p", "pause", "Pause"),
        Binding("r", "refresh_now", "Look"),
    ]

    def __init__(self, source: Source, *, interval_seconds: float = 2.0) -> None:
        super().__init__()
        self._source = source
        self._interval_seconds = interval_seconds
        self._is_paused = False
        self._is_looking = False
        self._letters = ""
        self._asked = ""
        self._look: Look | None = None

    def compose(self) -> ComposeResult:
        """A line of state, four panels, the keys."""
        yield Static("Looking ...", id="state", markup=False)
        with Grid():
            yield Panel(looks.RISK_COLUMNS, "Stock at risk", panel_id="risk")
            yield Panel(looks.BUSY_COLUMNS, "Busiest SKUs", panel_id="busy")
            yield Panel(looks.BROKEN_COLUMNS, "Broken promises", panel_id="broken")
            with Vertical(id="server") as server:
                server.border_title = "Server"
                yield Static("", id="facts", markup=False)
                yield Panel(looks.METHOD_COLUMNS, "", panel_id="methods")
        yield Input(id="asked")
        yield Footer()

    def on_mount(self) -> None:
        """Begins to look."""
        self.query_one("#risk").focus()
        self.set_interval(self._interval_seconds, self._tick)
        self.call_later(self._tick)

    def _tick(self) -> None:
        if not self._is_paused and not self._is_looking:
            self.run_worker(self._take_a_look(), exclusive=False)

    async def _take_a_look(self) -> None:
        self._is_looking = True
        try:
            self._look = await self._source.look()
        finally:
            self._is_looking = False
        self._show()

    def _show(self) -> None:
        look = self._look
        if look is None:
            return
        state = self.query_one("#state", Static)
        state.update(self._state(look))
        state.set_class(bool(look.problem), "away")
        self._panel("risk").show(self._wanted(looks.risk_rows(look)))
        self._panel("busy").show(self._wanted(looks.busy_rows(look)))
        self._panel("broken").show(self._wanted(looks.broken_rows(look)))
        self._panel("methods").show(looks.method_rows(look))
        self._panel("busy").border_title = f"Busiest SKUs{' (sampled)' if look.is_sampled else ''}"
        self._panel("broken").border_title = looks.broken_title(look)
        self.query_one("#facts", Static).update("\n".join(looks.server_lines(look)))

    def _state(self, look: Look) -> str:
        parts = [f"{look.time:%H:%M:%S}", f"channel {self._source.channel or 'any'}"]
        parts += [f"location {self._source.location}"] if self._source.location else []
        parts += [f"SKUs with {self._letters}"] if self._letters else []
        parts += ["PAUSED"] if self._is_paused else []
        parts.append(look.server)
        return "  ".join([f"AWAY: {look.problem}"] if look.problem else parts)

    def _wanted(self, rows: Sequence[tuple[Cell, ...]]) -> list[tuple[Cell, ...]]:
        return [row for row in rows if self._letters.casefold() in str(row[0]).casefold()]

    def _panel(self, name: str) -> Panel:
        return self.query_one(f"#{name}", Panel)

    def action_help(self) -> None:
        """Says what the keys do."""
        self.push_screen(Page("Keys", HELP.splitlines()))

    def action_sort(self) -> None:
        """Sorts the panel that has the focus."""
        if isinstance(self.focused, Panel):
            self.focused.sort_by_next()

    def action_pause(self) -> None:
        """Stops looking, or goes on."""
        self._is_paused = not self._is_paused
        self._show()

    def action_refresh_now(self) -> None:
        """Looks once, also in a pause."""
        if not self._is_looking:
            self.run_worker(self._take_a_look(), exclusive=False)

    def action_ask(self, what: str) -> None:
        """Asks for a filter."""
        self._asked = what
        field = self.query_one("#asked", Input)
        field.border_title = "letters of SKUs" if what == "sku" else what
        field.value = self._letters if what == "sku" else getattr(self._source, what)
        field.add_class("shown")
        field.focus()

    async def on_input_submitted(self, answer: Input.Submitted) -> None:
        """Takes the filter."""
        self.query_one("#asked", Input).remove_class("shown")
        self.query_one("#risk").focus()
        text = answer.value.strip()
        if self._asked == "sku":
            self._letters = text
            self._show()
            return
        filters = {"channel": self._source.channel, "location": self._source.location, self._asked: text}
        await self._source.narrow(**filters)
        self.action_refresh_now()

    def on_data_table_row_selected(self, selected: Any) -> None:
        """Explains the SKU of the row."""
        sku = selected.data_table.sku()
        if sku:
            self.run_worker(self._explain(sku), exclusive=True, group="explain")

    async def _explain(self, sku: str) -> None:
        from invengine.client import CallFailed
        from invengine.errors import InventoryError

        if not self._source.channel:
            lines = ["Name the channel that asks: press c."]
        else:
            try:
                lines = await self._source.explain(sku)
            except (InventoryError, CallFailed) as error:
                lines = [sentence(error)]
        self.push_screen(Page(sku, lines))
