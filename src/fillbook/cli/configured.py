"""Is what a person wrote usable? fillbook.toml, its variables, and the files it names."""

from __future__ import annotations

import os
import socket
from collections.abc import Iterator, Mapping
from pathlib import Path

from fillbook.cli.figures import plural
from fillbook.cli.opening import CONFIG_NAME, Place, find
from fillbook.ground.checks import Check, failed
from fillbook.ground.errors import ConfigError
from fillbook.ground.live_settings import MonitorSettings
from fillbook.ground.settings import ENV_PREFIX, Settings
from fillbook.monitor.hook import webhook_folder, webhook_of
from fillbook.monitor.token import push_token
from fillbook.sources.files.column_map import column_maps
from fillbook.sources.files.registry import NAMES
from fillbook.sources.reads import is_loopback

AREA = "configuration"


def placed(book: Path | None) -> tuple[Place, Check | None]:
    """Find the book and its settings; a broken configuration is a check, with defaults instead."""
    try:
        return find(book), None
    except ConfigError as fault:
        settings = Settings()
        return Place(book or Path(settings.book.path), settings), failed(AREA, fault)


def configuration_checks(place: Place, environ: Mapping[str, str]) -> Iterator[Check]:
    """Say what is configured, and what of it cannot work."""
    settings = place.settings
    config = place.book.parent / CONFIG_NAME
    config = config if config.exists() else Path(CONFIG_NAME)
    overridden = sorted(name for name in environ if name.startswith(ENV_PREFIX))
    told = [str(config) if config.exists() else "no fillbook.toml, so every default holds"]
    told.append(plural(len(settings.attach), "attached account"))
    if overridden:
        told.append(f"overridden by {', '.join(overridden)}")
    yield Check(area=AREA, state="ok", what="; ".join(told))
    try:
        column_maps(settings.imports.map, NAMES)
    except ConfigError as fault:
        yield failed(AREA, fault)
    yield from _twice(settings)
    monitor = settings.monitor
    if not is_loopback(monitor.host):
        yield Check(
            area=AREA,
            state="warn",
            what=f"[monitor] host {monitor.host} shows health and metrics to other machines, "
            "without a password",
            next_step='set host = "127.0.0.1", or keep strangers out with a firewall',
        )
    for name in monitor.watched_files:
        path = place.book.parent / Path(name).expanduser()
        if not path.exists():
            yield Check(
                area=AREA,
                state="warn",
                what="a watched file is not there",
                next_step="check watched_files in [monitor], and that the bot writes it",
                about=str(path),
            )
    yield from _writable(place.book.parent / monitor.log_dir)


def _twice(settings: Settings) -> Iterator[Check]:
    seen: set[tuple[str, str]] = set()
    for attach in settings.attach:
        who = (attach.venue, (attach.address or attach.key_file or attach.key_env or "").lower())
        if who in seen:
            yield Check(
                area=AREA,
                state="warn",
                what="this account is attached twice, and asked for twice",
                next_step="remove one of the [[attach]] entries",
                about=attach.label or attach.venue,
            )
        seen.add(who)


def _writable(folder: Path) -> Iterator[Check]:
    """Say when logs could not be written; a folder that is not there yet will be made."""
    nearest = folder
    while not nearest.exists() and nearest != nearest.parent:
        nearest = nearest.parent
    if not nearest.is_dir() or not os.access(nearest, os.W_OK):
        yield Check(
            area=AREA,
            state="fail",
            what="logs and daily files cannot be written there",
            next_step="set log_dir in [monitor] to a folder of yours, or `chmod u+w` it",
            about=str(folder),
        )


def token_check(settings: MonitorSettings, environ: Mapping[str, str]) -> Check:
    """Say whether bots can push, and whether the token is safe."""
    try:
        token = push_token(settings, environ)
    except ConfigError as fault:
        return failed("push token", fault)
    if token is None:
        what = "none is set, so bots cannot push over HTTP (watched files work without)"
        return Check(area="push token", state="ok", what=what)
    return Check(area="push token", state="ok", what="set, and nobody else can read it")


def webhook_check(place: Place, environ: Mapping[str, str]) -> Check:
    """Say where finished trades are posted to, and whether that URL is safe."""
    try:
        webhook = webhook_of(place.settings.monitor, environ, webhook_folder(place.book))
    except ConfigError as fault:
        return failed("webhook", fault)
    if webhook is None:
        return Check(area="webhook", state="ok", what="none is set: finished trades are not posted")
    what = f"finished trades are posted to {webhook.name}"
    return Check(area="webhook", state="ok", what=what)


def is_taken(host: str, port: int) -> bool:
    """Say whether something answers where a monitor would listen."""
    if not port:
        return False
    try:
        with socket.create_connection((host, port), timeout=1.0):
            return True
    except OSError:
        return False
