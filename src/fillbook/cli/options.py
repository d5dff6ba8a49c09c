"""The options that every reading command shares, declared once.

`Asked` is what was typed. The `reading` decorator turns its fields into the options of a command,
so that all commands spell, explain and check them alike.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any, Literal, get_type_hints

import msgspec
import typer

Method = Literal["average", "fifo", "lifo"]

BookOption = Annotated[
    Path | None,
    typer.Option(
        "--book",
        envvar="FILLBOOK_BOOK",
        help="The book file (default: \\[book] path, else fillbook.db).",
        show_default=False,
    ),
]
JsonOption = Annotated[
    bool, typer.Option("--json", help="Print the whole answer as JSON (docs/schemas).")
]


class Asked(msgspec.Struct, frozen=True, kw_only=True):
    """What a reading command was asked for, as typed."""

    book: BookOption = None
    json: JsonOption = False
    csv: Annotated[bool, typer.Option("--csv", help="Print the rows as CSV.")] = False
    since: Annotated[
        str | None,
        typer.Option(metavar="WHEN", help="From then on: 2026-01-31, an ISO time, or 7d ago."),
    ] = None
    until: Annotated[
        str | None, typer.Option(metavar="WHEN", help="Before then (not included).")
    ] = None
    account: Annotated[
        list[str] | None, typer.Option(metavar="A", help="Only this account or label; repeatable.")
    ] = None
    strategy: Annotated[
        list[str] | None, typer.Option(metavar="S", help="Only this strategy; repeatable.")
    ] = None
    instrument: Annotated[
        list[str] | None, typer.Option(metavar="I", help="Only this instrument; repeatable.")
    ] = None
    by: Annotated[
        str | None,
        typer.Option(metavar="DIM", help="Also per account, venue, instrument, strategy or day."),
    ] = None
    as_of: Annotated[
        int | None, typer.Option(metavar="SEQ", help="As known at this journal sequence.")
    ] = None
    method: Annotated[
        Method | None, typer.Option(help="Fold with this lot method instead of \\[fold] method.")
    ] = None


def help_of(command: Callable[..., None]) -> str:
    """Turn a docstring into help text: paragraphs flow, the lines of examples stay."""
    told = []
    for paragraph in inspect.cleandoc(command.__doc__ or "").split("\n\n"):
        if paragraph.startswith("Examples:"):
            told.append(paragraph.replace("Examples:", "[bold]Examples[/bold]", 1))
        else:
            told.append(" ".join(paragraph.replace("[", "\\[").split()))
    return "\n\n".join(told)


def reading(*, without: tuple[str, ...] = ()) -> Callable[[Callable[..., None]], Any]:
    """Give a command all the reading options except `without`; it receives one `Asked`."""
    return with_options(Asked, without=without)


def with_options(
    kind: type[msgspec.Struct], *, without: tuple[str, ...] = ()
) -> Callable[[Callable[..., None]], Any]:
    """Turn the fields of a struct into options of a command, which receives the struct first.

    The command's own parameters stay its own and come first in its help.
    """

    def decorate(command: Callable[..., None]) -> Callable[..., None]:
        keyword = inspect.Parameter.KEYWORD_ONLY
        own = list(inspect.signature(command, eval_str=True).parameters.values())[1:]
        hints = get_type_hints(kind, include_extras=True)
        defaults = dict(zip(kind.__struct_fields__, kind.__struct_defaults__, strict=True))
        names = [name for name in kind.__struct_fields__ if name not in without]
        parameters = [p.replace(kind=keyword) for p in own] + [
            inspect.Parameter(name, keyword, default=defaults[name], annotation=hints[name])
            for name in names
        ]

        def called(**values: Any) -> None:
            asked = kind(**{name: values.pop(name) for name in names})
            command(asked, **values)

        called.__name__ = command.__name__
        called.__doc__ = command.__doc__
        called.__annotations__ = {p.name: p.annotation for p in parameters}
        called.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]
        return called

    return decorate
