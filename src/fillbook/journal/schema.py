"""The tables of a book file, format 1. Every table is append-only; docs/journal.md explains them.

`stream` spells out (kind, venue, account) once, so that a claim's identity (kind, venue, account,
key, content) is a short index entry. `batch`, `page` and `claim.row` say where a claim came from;
`raw` is the sources' own text, compressed by page; `reference` is another batch asserting a claim
the book already had. Claims and references share one sequence. The view `claims` puts it all
together for people with a SQL shell.
"""

from __future__ import annotations

FORMAT = 1
APPLICATION_ID = 0x46424B31  # "FBK1": lets `file` and Fillbook tell a book from any SQLite file.

_TABLES = (
    """CREATE TABLE book (
  name TEXT PRIMARY KEY,
  value TEXT NOT NULL
) STRICT, WITHOUT ROWID""",
    """CREATE TABLE stream (
  stream INTEGER PRIMARY KEY,
  kind TEXT NOT NULL,
  venue TEXT NOT NULL,
  account TEXT NOT NULL,
  UNIQUE (kind, venue, account)
) STRICT""",
    """CREATE TABLE batch (
  batch INTEGER PRIMARY KEY,
  batch_id TEXT NOT NULL,
  generation INTEGER NOT NULL,
  opened_seq INTEGER NOT NULL,
  opened_ns INTEGER NOT NULL,
  description TEXT NOT NULL,
  digest BLOB NOT NULL,
  UNIQUE (batch_id, generation)
) STRICT""",
    """CREATE TABLE page (
  page INTEGER PRIMARY KEY,
  batch INTEGER,
  first_seq INTEGER NOT NULL,
  last_seq INTEGER NOT NULL,
  final_seq INTEGER,
  recv_ns INTEGER NOT NULL,
  schema INTEGER NOT NULL,
  rows BLOB NOT NULL,
  hash BLOB NOT NULL,
  cursor TEXT NOT NULL
) STRICT""",
    """CREATE TABLE raw (
  page INTEGER PRIMARY KEY,
  body BLOB NOT NULL
) STRICT""",
    """CREATE TABLE claim (
  seq INTEGER PRIMARY KEY,
  stream INTEGER NOT NULL,
  key TEXT NOT NULL,
  content BLOB NOT NULL,
  ts_event_ns INTEGER NOT NULL,
  batch INTEGER,
  row INTEGER,
  fact TEXT NOT NULL
) STRICT""",
    """CREATE TABLE reference (
  seq INTEGER PRIMARY KEY,
  claim INTEGER NOT NULL,
  batch INTEGER NOT NULL,
  row INTEGER
) STRICT""",
)

_INDEXES = (
    "CREATE UNIQUE INDEX claim_identity ON claim (stream, key, content)",
    "CREATE UNIQUE INDEX reference_claim ON reference (claim, batch)",
    "CREATE INDEX page_batch ON page (batch, first_seq, last_seq, final_seq)",
    "CREATE INDEX page_seq ON page (last_seq)",
)

_VIEW = """CREATE VIEW claims AS
SELECT c.seq, s.kind, s.venue, s.account, c.key, c.content, c.ts_event_ns,
  p.recv_ns AS ts_recv_ns, b.batch_id AS batch, c.row, p.page, p.schema, c.fact
FROM claim c
JOIN stream s ON s.stream = c.stream
JOIN page p ON p.page = (
  SELECT page FROM page WHERE last_seq >= c.seq ORDER BY last_seq, page LIMIT 1
)
LEFT JOIN batch b ON b.batch = c.batch"""


def _guard(table: str, verb: str) -> str:
    return (
        f"CREATE TRIGGER {table}_no_{verb.lower()} BEFORE {verb} ON {table} "
        "BEGIN SELECT RAISE(ABORT, 'a book is append-only'); END"
    )


STATEMENTS: tuple[str, ...] = (
    *_TABLES,
    *_INDEXES,
    _VIEW,
    *(
        _guard(table, verb)
        for table in ("book", "stream", "batch", "page", "raw", "claim", "reference")
        for verb in ("UPDATE", "DELETE")
    ),
)
