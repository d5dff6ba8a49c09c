"""What can go wrong between us and a venue, each fault a type; `retriable` says what helps.

    SourceError
    ├── ForbiddenRequestError    not on the list of reads: nothing was sent          final
    ├── UnreachableError         refused, reset, timed out, no name, bad TLS         retriable
    ├── BrokenAnswerError        cut short, not gzip, not JSON, too large            retriable
    ├── VenueFailedError         5xx, or a 200 that says the venue failed            retriable
    ├── RateLimitedError         429 or 418; `retry_after_ns` where it was told      retriable
    ├── ClockSkewError           a signed time outside the venue's window            retriable
    ├── CursorExpiredError       the venue forgot a page token: begin the round anew
    ├── RefusedError             the venue says no: wrong parameter, unknown symbol  final
    ├── UnreadableError          rows that cannot be understood, or not be passed    final
    └── KeyRefusedError          401, 403, wrong or revoked key, missing right       final
        └── KeyUnsafeError       a key that we refuse: it may do more than read      for good

A final fault halts its stream loudly; a retriable one is tried again at the next pull.
"""

from __future__ import annotations

from fillbook.ground.errors import FillbookError


class SourceError(FillbookError):
    """A read of a venue that brought nothing; `where` names the venue and the read."""

    retriable = False


class ForbiddenRequestError(SourceError):
    """A request that is not on the list of reads; it was not sent."""


class UnreachableError(SourceError):
    """The venue could not be reached, or the connection broke or took too long."""

    retriable = True


class BrokenAnswerError(SourceError):
    """An answer that is not what was sent: cut short, undecodable, not JSON, or too large."""

    retriable = True


class VenueFailedError(SourceError):
    """The venue answered that it failed itself."""

    retriable = True


class RateLimitedError(SourceError):
    """The venue asks for fewer requests; `banned` when it has shut the door (418)."""

    retriable = True

    def __init__(
        self,
        what: str,
        where: str = "",
        next_step: str = "",
        *,
        retry_after_ns: int | None = None,
        banned: bool = False,
    ) -> None:
        super().__init__(what, where, next_step)
        self.retry_after_ns = retry_after_ns
        self.banned = banned


class ClockSkewError(SourceError):
    """The venue calls a signed time too old or too new; the skew has been measured again."""

    retriable = True


class CursorExpiredError(SourceError):
    """The venue no longer knows a page token; the round begins again from what is journaled."""


class RefusedError(SourceError):
    """The venue understood the read and says no; asking again would not help."""


class UnreadableError(SourceError):
    """Rows that cannot be understood or not be passed; `text` is what was received.

    `at_ns` is the instant from which history is missing, where that is known.
    """

    def __init__(
        self,
        what: str,
        where: str = "",
        next_step: str = "",
        *,
        text: str = "",
        at_ns: int | None = None,
    ) -> None:
        super().__init__(what, where, next_step)
        self.text = text
        self.at_ns = at_ns


class KeyRefusedError(SourceError):
    """The key is unknown, revoked, expired, or lacks the right to read this."""


class KeyUnsafeError(KeyRefusedError):
    """The key may do more than read, or something nobody here knows: we refuse it ourselves."""
