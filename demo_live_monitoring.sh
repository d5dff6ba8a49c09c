#!/bin/sh
# Seven checks of live trade monitoring, without network and without an account:
#   sh demo_live_monitoring.sh            PYTHON=... names another interpreter
set -eu
here=$(CDPATH='' cd -- "$(dirname -- "$0")" && pwd)
if [ -z "${PYTHON:-}" ]; then
  PYTHON=python3
  if [ -x "$here/.venv/bin/python" ]; then PYTHON="$here/.venv/bin/python"; fi
fi
case "$PYTHON" in
  # The checks run in a folder of their own, where a relative path leads elsewhere.
  /*) ;;
  */*) PYTHON="$(pwd)/$PYTHON" ;;
esac
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
export PYTHONUTF8=1
number=0

check() {
  number=$((number + 1))
  if "$PYTHON" - >"$folder/said" 2>&1; then
    echo "✓ $number/7 $1"
  else
    echo "✗ $number/7 $1"
    sed 's/^/    /' "$folder/said"
    exit 1
  fi
}

check "Python environment" <<'PY'
import sys
assert sys.version_info >= (3, 11), f"Python 3.11 or newer is needed, this is {sys.version}"
try:
    import fillbook
except ModuleNotFoundError:
    sys.exit(f"fillbook is not installed for {sys.executable}\n"
             "run `make demo` once, or name another interpreter: PYTHON=… sh demo_live_monitoring.sh")
assert fillbook.__version__
PY

check "Modules can be imported" <<'PY'
import fillbook.desks.trade_metrics, fillbook.desks.trade_monitor, fillbook.desks.trade_tracker
import fillbook.monitor.service, fillbook.cli.monitored, fillbook.cli.monitoring
PY

cat >platform_for_checks.py <<'PY'
class Platform:
    """Answers with the next of some positions, the last one for ever; counts the questions."""

    def __init__(self, *answers):
        self.answers, self.asked = answers, 0

    def get_portfolio_breakdown(self):
        self.asked += 1
        held = self.answers[min(self.asked, len(self.answers)) - 1]
        return {"futures_positions": held}


def position(price, size=1, product="BTC-20DEC30"):
    return {"product_id": product, "side": "LONG", "contracts": size,
            "entry_price": 95000, "current_price": price}
PY

check "TradeMetricsCollector keeps trades and adds them up" <<'PY'
from fillbook.desks.trade_metrics import TradeMetricsCollector
collector = TradeMetricsCollector("collected")
for number, pnl in enumerate((1500, -500, 250)):
    collector.record_trade_metrics({
        "trade_id": f"t{number}", "product_id": "BTC", "side": "LONG",
        "exit_time": f"2026-01-0{number + 1}T00:00:00Z", "realized_pnl": pnl,
        "holding_duration_seconds": 3600, "exit_reason": "manual_close",
    })
told = TradeMetricsCollector("collected").get_aggregate_statistics()
assert (told["total_trades"], told["winning_trades"], told["losing_trades"]) == (3, 2, 1), told
assert told["total_pnl"] == 1250 and told["best_trade_pnl"] == 1500, told
PY

check "TradeTrackerThread follows a position from entry to exit" <<'PY'
from platform_for_checks import Platform, position
from fillbook.desks.trade_tracker import TradeTrackerThread
told = []
platform = Platform([position(95800)], [position(96500)], [])
tracker = TradeTrackerThread("trade-1", position(95000), platform, told.append, poll_interval=0.05)
tracker.start()
tracker.join(20)
assert not tracker.is_alive() and len(told) == 1, told
assert told[0]["realized_pnl"] == 1500 and told[0]["final_status"] == "completed", told
PY

check "TradeMonitor starts at once and stops within 10 seconds" <<'PY'
import time
from platform_for_checks import Platform
from fillbook.desks.trade_monitor import TradeMonitor
monitor = TradeMonitor(platform=Platform([]), detection_interval=30, poll_interval=30)
begun = time.monotonic()
monitor.start()
assert time.monotonic() - begun < 2 and monitor.is_running
assert monitor.stop() and time.monotonic() - begun < 10 and not monitor.is_running
PY

check "Files are where they belong" <<'PY'
from pathlib import Path
from platform_for_checks import Platform, position
from fillbook.desks.trade_monitor import TradeMonitor
monitor = TradeMonitor(platform=Platform([position(95000)], [position(96500)], []))
assert all(monitor.poll() for _ in range(3))
assert len(list(Path("data/trade_metrics").glob("trade_*.json"))) == 1
PY

check "A dry run from end to end: three positions, one question per poll, one trade each" <<'PY'
from platform_for_checks import Platform, position
from fillbook.desks.trade_monitor import TradeMonitor
names = ("BTC-20DEC30", "ETH-20DEC30", "SOL-20DEC30")
held = [[position(price, 1, name) for name in names] for price in (95000, 95800, 96500)]
platform = Platform(*held, [])
monitor = TradeMonitor(platform=platform, folder="dry-run")
for _ in range(3):
    assert monitor.poll()
assert len(monitor.active_trades) == 3 and platform.asked == 3
assert monitor.poll() and not monitor.active_trades
told = monitor.get_aggregate_statistics()
assert (told["total_trades"], told["total_pnl"], told["win_rate"]) == (3, 4500, 100), told
assert len(monitor.get_closed_trades()) == 3 and monitor.get_closed_trades() == []
PY

echo "all seven checks passed"
