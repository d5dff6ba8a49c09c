"""Whether an account's key is still harmless: asked at the start, and every day from then on."""

from __future__ import annotations

from fillbook.facts.finding import Finding
from fillbook.ground.clock import DAY_NS, HOUR_NS
from fillbook.ground.live_settings import AttachSettings
from fillbook.sources.attach import check_key
from fillbook.sources.faults import KeyRefusedError
from fillbook.sources.pace import Pace
from fillbook.sources.rights import Verdict, insist
from fillbook.sources.stream import JournalWriter, LiveAccount

CHECK_EVERY_NS = DAY_NS
OVERDUE_NS = CHECK_EVERY_NS + HOUR_NS


class KeyWatch:
    """What is known about one account's key; `verdict` is the last one, None before the first."""

    def __init__(
        self,
        account: LiveAccount,
        settings: AttachSettings,
        writer: JournalWriter,
        pace: Pace,
    ) -> None:
        self._account = account
        self._settings = settings
        self._writer = writer
        self._pace = pace
        self._checked_ticks: int | None = None
        self._refused: KeyRefusedError | None = None
        self.verdict: Verdict | None = None

    def take(self, verdict: Verdict) -> None:
        """Note what was decided just now."""
        self.verdict = verdict
        self._checked_ticks = self._pace.ticks_ns()

    def refuse(self, fault: KeyRefusedError) -> None:
        """Note that the venue or we have refused the key: nothing more is asked with it."""
        self._refused = fault

    async def look(self) -> None:
        """Ask the venue again once a day; KeyUnsafeError when the key may do more by now.

        Another SourceError means that it could not be asked: the next look tries again.
        """
        if self._checked_ticks is not None and self._age_ns() < CHECK_EVERY_NS:
            return
        verdict = await check_key(self._account, self._settings, self._writer)
        self.take(verdict)
        insist(verdict, f"[[attach]] {self._account.label}")

    def warning(self) -> str:
        """Return what to say aloud about a key that was accepted though it can trade, or nothing.

        It names the setting that allows it.
        """
        verdict = self.verdict
        if verdict is None or verdict.decision != "accepted with finding":
            return ""
        return f"THIS KEY CAN TRADE: it {'; '.join(verdict.reasons)}; Fillbook only reads with it"

    def findings(self) -> list[Finding]:
        """Return what a person should know about the key now."""
        if self._refused is not None:
            return [self._told(self._refused)]
        found = self.verdict.finding(self._account.account) if self.verdict else None
        late = self._checked_ticks is not None and self._age_ns() >= OVERDUE_NS
        return [*([found] if found else []), *([self._unchecked()] if late else [])]

    def _age_ns(self) -> int:
        return self._pace.ticks_ns() - (self._checked_ticks or 0)

    def _told(self, fault: KeyRefusedError) -> Finding:
        return Finding(
            code="key-refused",
            severity="error",
            message=f"{self._account.label}: {fault.what}; nothing more is pulled",
            next_step=" ".join(fault.next_step.split()),
            venue=self._account.venue,
            account=self._account.account or None,
        )

    def _unchecked(self) -> Finding:
        return Finding(
            code="key-unchecked",
            severity="warning",
            message=f"{self._account.label}: what the key may do was last read more than a day "
            "ago; the venue does not answer that question",
            next_step="look at the key on the venue's page; it is asked again every few minutes",
            venue=self._account.venue,
            account=self._account.account,
        )
