"""Bots tell a running monitor: by client, by HTTP, by a file; each fact is in the book once."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any
from urllib.error import HTTPError
from urllib.request import Request, urlopen

import pytest

from cli_run import book_of, fillbook
from fillbook.client import Client
from fillbook.journal.store import Journal
from fillbook.sim.cast import SWING
from monitor_runs import configure, running, venue_of, waited

TOKEN = "a-token-long-enough"


def told(folder: Path) -> list[tuple[str, str, str]]:
    """Return (kind, account, name) of what bots told, as it is in the book."""
    with Journal.open(folder / "fillbook.db", readonly=True) as journal:
        return sorted(
            (
                type(claim.fact).__name__,
                claim.fact.account,
                getattr(claim.fact, "decision_id", None) or claim.fact.client_order_id,
            )
            for claim in journal.claims(kinds=["decision", "order"])
            if claim.fact.account == SWING and "push|" in claim.key
        )


def post(url: str, lines: list[dict[str, Any]], token: str) -> Any:
    body = "\n".join(json.dumps(line) for line in lines).encode()
    headers = {"Authorization": f"Bearer {token}"}
    with urlopen(Request(f"{url}/api/v1/facts", body, headers), timeout=10) as answer:
        return json.load(answer)


def decision(name: str, **more: Any) -> dict[str, Any]:
    return {
        "kind": "decision",
        "time": "2026-01-05T10:00:00Z",
        "account": "swing",
        "decision_id": name,
        "instrument": "BTC",
        "action": "buy",
        **more,
    }


def test_a_label_of_the_accounts_stands_for_its_account_as_in_the_reading_commands(
    tmp_path: Path,
) -> None:
    """So a decision joins the fills of its account, attached or imported."""
    fills = "time,instrument,side,px,qty,fee,fee_asset,fill_id,client_order_id\n"
    fills += "2026-01-05T10:00:01Z,BTC,buy,101,2,0.2,USDT,f1,mm-7\n"
    book_of(tmp_path, fills)
    with venue_of(7, days=1) as venue:
        configure(tmp_path, venue)
        with (tmp_path / "fillbook.toml").open("a") as file:
            file.write(f'\n[accounts.A]\nlabel = "desk"\n[accounts.{SWING}]\nlabel = "main"\n')
        with running(tmp_path, FILLBOOK_PUSH_TOKEN=TOKEN) as monitor:
            monitor.heard("✓ swing: attached")
            lines = [
                decision("d1", account="desk", venue="test", client_order_id="mm-7", strategy="s"),
                decision("d2", account="main"),
                decision("d3", account="main", venue="hyperliquid"),
            ]
            assert post(monitor.url, lines, TOKEN)["accepted"] == 3
            assert fillbook(tmp_path, "monitor", "stop").status == 0
    assert told(tmp_path) == [("Decision", SWING, "d2"), ("Decision", SWING, "d3")]
    (row,) = fillbook(tmp_path, "fills", "--account", "desk", "--json").json["rows"]
    assert row["strategy"] == "s"


def test_three_ways_in_and_each_fact_once(tmp_path: Path) -> None:
    with venue_of(7, days=1) as venue:
        configure(tmp_path, venue, watched_files=["bot.ndjson"])
        (tmp_path / "bot.ndjson").write_text(json.dumps(decision("from-file")) + "\nnot json\n")
        with running(tmp_path, FILLBOOK_PUSH_TOKEN=TOKEN) as monitor:
            monitor.heard("✓ swing: attached")
            url = monitor.url
            with pytest.raises(HTTPError, match="401"):
                post(url, [decision("by-thief")], "a-token-long-enougH")
            answer = post(url, [decision("by-http"), decision("bad", qty=-1)], TOKEN)
            assert (answer["accepted"], answer["new"], answer["refused"]) == (1, 1, 1)
            again = post(url, [decision("by-http")], TOKEN)
            assert (again["accepted"], again["new"]) == (1, 0)
            with Client(url, TOKEN, account="swing") as client:
                client.decision("by-client", "BTC", "buy", decision_px="50000.1")
            waited("the file", lambda: ("Decision", SWING, "from-file") in told(tmp_path))
            assert fillbook(tmp_path, "monitor", "stop").status == 0
        log = (tmp_path / "logs" / "monitor.log").read_text()
        assert "bot.ndjson line 2: it is not a line of JSON" in log and TOKEN not in log

        # The next run reads the file again, and knows it.
        with running(tmp_path, FILLBOOK_PUSH_TOKEN=TOKEN) as monitor:
            with (tmp_path / "bot.ndjson").open("a") as file:
                file.write(json.dumps(decision("later")) + "\n")
            waited("what came later", lambda: ("Decision", SWING, "later") in told(tmp_path))
            assert fillbook(tmp_path, "monitor", "stop").status == 0
    names = ("by-client", "by-http", "from-file", "later")
    assert told(tmp_path) == [("Decision", SWING, name) for name in names]
    assert fillbook(tmp_path, "verify").status == 0
