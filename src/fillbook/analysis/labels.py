"""Readable names of accounts that a monitor has attached, as the book remembers them.

Who is behind a key only its venue can say, so the name in [[attach]] means nothing to whoever has
only the book and the settings. The monitor puts it there as a batch of its own, which asserts
nothing.
"""

from __future__ import annotations

from collections.abc import Iterable

import msgspec

from fillbook.ground.settings import AccountSettings, Settings
from fillbook.journal.values import Labelled

ACCOUNT_LABEL = "the name of an attached account"
"""The label of the batch that remembers such a name in the book."""


def with_labels(settings: Settings, opened: Iterable[Labelled]) -> Settings:
    """Return settings that know the names in the book too, of each account the newest.

    What the settings say themselves holds.
    """
    named = {batch.said.account: batch.said.name for batch in opened}
    told = settings.labels
    accounts = dict(settings.accounts)
    for account, name in named.items():
        if account not in told:
            known = accounts.get(account, AccountSettings())
            accounts[account] = msgspec.structs.replace(known, label=name)
    return msgspec.structs.replace(settings, accounts=accounts)
