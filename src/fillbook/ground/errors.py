"""The one exception tree, for faults of the program, the person or the machine.

Wrong *data* is never an exception: it becomes a `Finding` (facts/finding.py) and the fold goes on.

    FillbookError
    ├── UsageError        the command was asked for something it cannot do        exit 2
    ├── InputError        a file or a value that cannot be read                   exit 2
    ├── ConfigError       fillbook.toml or an environment override is wrong       exit 2
    └── BookError         the book file
        ├── BookMissingError       no book where one was expected                 exit 2
        ├── BookReadOnlyError      the file or its folder cannot be written       exit 2
        ├── BookBusyError          another process holds the write lock too long  exit 2
        └── BookDamagedError       stored bytes are not what was written          exit 1
"""

from __future__ import annotations


class FillbookError(Exception):
    """A fault said in three parts: what happened, where, and what to do next.

    >>> print(FillbookError("cannot read the fee", "fills.csv:3 field fee", "write it as 0.25"))
    cannot read the fee
      where: fills.csv:3 field fee
      next:  write it as 0.25
    """

    exit_status = 2

    def __init__(self, what: str, where: str = "", next_step: str = "") -> None:
        self.what = what
        self.where = where
        self.next_step = next_step
        super().__init__(what)

    def __str__(self) -> str:
        lines = [self.what]
        if self.where:
            lines.append(f"  where: {self.where}")
        if self.next_step:
            lines.append(f"  next:  {self.next_step}")
        return "\n".join(lines)


class UsageError(FillbookError):
    """The command was asked for something it cannot do."""


class InputError(FillbookError):
    """A file or a value that cannot be read."""


class ConfigError(FillbookError):
    """fillbook.toml or an environment override is wrong."""


class BookError(FillbookError):
    """Something about the book file."""


class BookMissingError(BookError):
    """No book file where one was expected."""


class BookReadOnlyError(BookError):
    """The book file or its folder cannot be written."""


class BookBusyError(BookError):
    """Another process held the write lock for too long."""


class BookDamagedError(BookError):
    """Stored bytes are not what was written; nothing is folded until a person has looked."""

    exit_status = 1
