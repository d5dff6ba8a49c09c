"""The commented fillbook.toml that `fillbook init` writes: every key, each at its default."""

STARTER = """\
# Fillbook's configuration. Every key is optional and shown at its default.
# An environment variable FILLBOOK__SECTION__KEY beats the file,
# for example FILLBOOK__FOLD__METHOD=fifo.

[book]
path = "fillbook.db"          # relative to this file

[report]
day_zone = "UTC"              # where a day begins: UTC, Europe/Berlin, +05:30
# currency = "USDC"           # a reporting currency; without one, currencies stay apart

[fold]
method = "average"            # average (what venues show), fifo or lifo

[marks]
max_age = "1h"                # a price older than this values nothing

# Which strategy a fill belongs to, where neither it nor its order says so; first match wins.
# [[strategies.rules]]
# strategy = "market-maker"
# client_id_prefix = "mm-"    # any of client_id_prefix, instrument, account; all given must hold

# A readable name for an account, and the capital declared for it.
# [accounts.0x31ca8395cf837de08b24da3f660e77761dfb974b]
# label = "main"
# capital = { USDC = "10000" }

# Accounts to watch live, read-only (docs/attaching.md says which key is safe). Secrets never
# stand here: key_file names a file of mode 0600, key_env and secret_env environment variables.
# [[attach]]
# venue = "hyperliquid"       # hyperliquid, binance or coinbase
# address = "0x31ca8395cf837de08b24da3f660e77761dfb974b"
# label = "main"
# share = 0.20                # of the venue's rate limit, which your bot shares
# accept_trading_key = false  # true only for a venue that gives no read-only key; see the page
# symbols = []                # pulled even where the venue does not name them
# urls = {}                   # other hosts by their role: a testnet, a simulated venue

[monitor]
detection_interval = "30s"    # how often to look for new trades
poll_interval = "30s"         # how often to pull, and to look at open positions
vanished_after = "2m"         # a position gone without a fill counts as closed after so long
# max_concurrent_trades = 2   # at most so many tracked at once, the others wait; unset: no cap
host = "127.0.0.1"
port = 9464
log_dir = "logs"
pid_file = "fillbook.pid"
watched_files = []            # files that a bot writes and the monitor reads as they grow
# token_file = "push.token"   # what bots present to push facts: a file of mode 0600, or this
token_env = "FILLBOOK_PUSH_TOKEN"    # environment variable
# webhook_file = "hook.url"   # a URL that is posted an event for every finished trade: a file of
webhook_env = "FILLBOOK_WEBHOOK_URL" # mode 0600, or this environment variable; it stays a secret

[metrics]
prefix = "fillbook_"          # before every name at /metrics; may be empty

# How a CSV or JSONL of your own names its columns (docs/readers/generic.md explains it).
# [[import.map]]
# name = "desk"
# kind = "fills"
# columns = { time = "time", instrument = "symbol", side = "side", px = "price", qty = "size" }
"""
