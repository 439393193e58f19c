"""`ioc up` as a person meets it: it starts, tells where, goes on where it ended, and refuses in words."""

import base64
import json
import os
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from pathlib import Path
from typing import Any

import pytest
from mqtt_brokers import Publisher, publish_to_a_topic_with_a_space, start_mosquitto
from servers import free_port, running
from up_process import Centre

from control_center.embedded_settings import PARTITIONS

pytestmark = pytest.mark.long

UNIT = "06658"
TOPIC = f"ioc/{UNIT}/traffic/s1"


def speed(time_s: float, value: Any = 40.0, **more: Any) -> bytes:
    return json.dumps([{"n": "speed", "u": "km/h", "t": time_s, "v": value, **more}]).encode()


def test_ctrl_c_ends_everything_in_five_seconds_and_a_second_start_has_every_number(centre: Centre) -> None:
    start = int(time.time()) // 300 * 300 - 30
    device = Publisher(centre.mqtt_port)
    device.publish_all((TOPIC, speed(start + step, 30 + step)) for step in range(20))
    device.settle()
    device.close()
    before = centre.settled(20)
    path = f"/api/kpis/traffic_speed/history?unit={UNIT}"
    history = centre.until(lambda: centre.ask(path), "the window is closed")
    children = [centre.pid(name) for name in ("nats-server", "engine", "bridge")]
    assert all(children)
    assert centre.stop() < 5.0
    assert centre.process.returncode == 0
    assert not any(Path(f"/proc/{pid}").exists() for pid in children)
    centre.start()
    centre.ready()
    assert centre.ask(path) == history
    assert history[0]["n"] == 20
    after = centre.ask("/api/ledger")
    assert after | {"bridges": before["bridges"]} == before, "but for the bridge, whose process is a new one"
    assert "password:" not in centre.output.read_text().rpartition("Dữ liệu")[2], "the password is shown once"


def test_a_city_without_any_setting_shows_numbers_within_seconds(tmp_path: Path) -> None:
    started = time.monotonic()
    with Centre(tmp_path / "data") as centre:
        centre.until(lambda: (centre.tries("/api/kpis/traffic_flow") or {}).get("value") is not None, "a live figure")
        took = time.monotonic() - started
        print(f"a live figure of the whole place after {took:.1f} s")
        assert centre.ask("/api/ledger")["difference"] == 0


def test_bad_input_of_every_kind_is_a_counted_rejection_with_its_payload_and_the_stream_goes_on(
    centre: Centre,
) -> None:
    now = time.time()
    deep = b"[" * 5_000 + b"]" * 5_000
    bad: list[tuple[str, bytes, str]] = [
        (TOPIC, b'[{"n":"speed",', "bad_payload"),
        (TOPIC, b"\xff\xfe\x00", "bad_payload"),
        (TOPIC, b"", "bad_payload"),
        (TOPIC, deep, "bad_payload"),
        (TOPIC, b'{"n":"speed","v":1}', "bad_payload"),
        (TOPIC, speed(now, "forty"), "bad_payload"),
        (TOPIC, b'[{"n":"speed","u":"km/h","v":NaN}]', "bad_payload"),
        (TOPIC, b'[{"n":"speed","u":"km/h","v":1e999}]', "bad_payload"),
        (TOPIC, speed(now, None), "not_a_number"),
        (TOPIC, speed(now, 900), "implausible"),
        (TOPIC, speed(now + 3_600), "in_the_future"),
        (TOPIC, speed(300_000_000), "clock_not_set"),
        (TOPIC, b'[{"n":"colour","t":%d,"v":3}]' % now, "unknown_quantity"),
        (TOPIC, b'[{"n":"speed","u":"kg","t":%d,"v":3}]' % now, "wrong_unit"),
        (TOPIC, b"x" * 900_000, "too_large"),
        ("ioc/99999/traffic/s1", speed(now), "unknown_unit"),
        ("ioc/abc/traffic/s1", speed(now), "bad_topic"),
        (f"ioc/{UNIT}/weather/s1", speed(now), "unknown_kind"),
        (f"ioc/{UNIT}/traffic/s!1", speed(now), "bad_topic"),
        (f"ioc/{UNIT}/traffic/{'s' * 65}", speed(now), "bad_topic"),
        (f"ioc/{UNIT}/traffic", speed(now), "bad_topic"),
        (f"ioc/{UNIT}/traffic/s1/more", speed(now), "bad_topic"),
        (f"ioc/{UNIT}/queue/d1", b'{"specversion":"1.0"}', "bad_payload"),
    ]
    device = Publisher(centre.mqtt_port)
    for topic, payload, _ in bad:
        device.publish(topic, payload)
    device.publish(TOPIC, speed(now - 1))
    device.settle()
    device.close()
    ledger = centre.settled(1)
    assert (ledger["accepted"], ledger["rejected"], ledger["difference"]) == (1, len(bad), 0)
    told = {(row["topic"], row["payload"]): row for row in centre.ask("/api/rejections?limit=100")}
    for topic, payload, reason in bad:
        row = told[topic, base64.b64encode(payload[:65_536]).decode()]
        assert row["reason"] == reason, f"{topic} {payload[:60]!r}: {row['reason']}: {row['detail']}"
        assert row["time"] > (now - 60) * 1000
    by_reason = {reason: sum(r == reason for _, _, r in bad) for _, _, reason in bad}
    assert ledger["by_reason"] == by_reason


def test_a_second_bridge_of_the_same_name_is_a_warning_and_every_message_is_counted_once(centre: Centre) -> None:
    """The broker lets them in by turns; each is overtaken by what the other has journaled meanwhile."""
    device, start, told = Publisher(centre.mqtt_port), int(time.time()) - 600, 0
    [bridge] = centre.until(lambda: centre.ask("/api/ledger")["bridges"], "the bridge has said that it lives")
    assert (bridge["overtaken"], bridge["overtaken_at"]) == (0, None)
    journal, mqtt = f"sqlite:///{centre.data / 'journal.sqlite'}", f"mqtt://127.0.0.1:{centre.mqtt_port}"
    command = ["bridge", "--mqtt", mqtt, "--journal", journal, "--partitions", str(PARTITIONS)]
    with (centre.data / "second.log").open("wb") as output:
        second = subprocess.Popen(
            [sys.executable, "-m", "control_center.console", *command], stdin=subprocess.DEVNULL, stdout=output,
            stderr=output,
        )  # fmt: skip

    def warned() -> Any:
        nonlocal told
        device.publish(TOPIC, speed(start + told))
        told += 1
        device.settle()
        return centre.ask("/ready")["warnings"]

    try:
        [warning] = centre.until(warned, "it is told that two bridges overtake each other")
    finally:
        second.kill()
        second.wait()
    name = bridge["bridge"]
    assert (warning["what"], warning["vi"]) == (
        "bridge_overtaken", f"Hai cầu nối cùng phần chia tranh nhau – {name}",
    )  # fmt: skip
    device.close()
    ledger = centre.settled(told)
    assert (ledger["accepted"], ledger["difference"], ledger["rejected"]) == (told, 0, 0)
    assert [one["bridge"] for one in ledger["bridges"]] == [name]
    assert f'ioc_bridge_overtaken_total{{bridge="{name}"}}' in centre.metrics()


def test_what_the_broker_refuses_is_counted_and_shown_with_the_clients_address(centre: Centre) -> None:
    own = publish_to_a_topic_with_a_space(centre.mqtt_port)
    refused = centre.until(lambda: centre.ask("/api/ledger")["refused_by_broker"], "the refusal is counted")
    assert refused == 1
    assert [row["address"] for row in centre.ask("/api/rejections")] == [own]


def test_an_operator_takes_an_alert_and_the_wall_hears_of_it(centre: Centre) -> None:
    """Extreme rain: from the gauge over MQTT to the desk's acknowledgement, by HTTP as the page does it."""
    now = int(time.time())
    device = Publisher(centre.mqtt_port)
    for step in range(6):
        record = {"n": "rain", "u": "mm", "t": now - 3_000 + 600 * step, "v": 60}
        device.publish(f"ioc/{UNIT}/rain/g1", json.dumps([record]).encode())
    device.settle()
    device.close()
    alerts = centre.until(lambda: centre.ask("/api/alerts"), "an alert")
    assert {alert["state"] for alert in alerts} == {"unack_active"}
    base = f"http://127.0.0.1:{centre.port}"
    body = json.dumps({"name": "truc-ban", "password": centre.password()}).encode()
    headers = {"Content-Type": "application/json"}
    with urllib.request.urlopen(urllib.request.Request(f"{base}/login", body, headers), timeout=20) as answer:
        cookie, csrf = answer.headers["Set-Cookie"].split(";")[0], json.loads(answer.read())["csrf"]
    act = {"Cookie": cookie, "X-CSRF-Token": csrf}
    url = f"{base}/api/alerts/{alerts[0]['id']}/acknowledge"
    urllib.request.urlopen(urllib.request.Request(url, b"", act), timeout=20).close()

    def taken() -> Any:
        found = centre.ask(f"/api/alerts/{alerts[0]['id']}")
        return found if found["state"] == "ack_active" else None

    found = centre.until(taken, "the alert is taken")
    assert found["acked_by"] == "truc-ban"
    steps = centre.until(
        lambda: [s for s in centre.ask(f"/api/alerts/{alerts[0]['id']}")["steps"] if s["op"] == "acknowledge"],
        "the log says who",
    )
    assert steps[0]["who"] == "truc-ban"


def test_the_citys_own_broker_is_used_instead_of_the_embedded_one_and_told_of_when_it_stands_still(
    tmp_path: Path,
) -> None:
    with running(start_mosquitto) as broker, Centre(tmp_path / "data", "--no-simulate", "--mqtt", broker.url) as centre:
        centre.ready()
        assert centre.pid("nats-server") is None
        centre.until(lambda: "connected" in (centre.data / "bridge.log").read_text(), "the bridge is connected")
        device = Publisher(broker.port)
        now = time.time()
        device.publish_all((TOPIC, speed(now - step)) for step in range(50))
        device.settle()
        device.close()
        assert centre.settled(50)["difference"] == 0
        children = [centre.pid("engine"), centre.pid("bridge")]
        broker.process.send_signal(signal.SIGSTOP)
        try:
            centre.until(lambda: centre.reasons() == {"broker_deaf"}, "one that stands still is told of", 40)
            assert set(centre.on_the_wall()) == {"broker_deaf"}
        finally:
            broker.process.send_signal(signal.SIGCONT)
        centre.until(lambda: not centre.reasons(), "it is ready again")
        assert [centre.pid("engine"), centre.pid("bridge")] == children
        assert centre.ask("/api/ledger")["received"] == 50, "the probe's own messages are nobody's"


def test_settings_that_the_engine_would_stumble_over_are_refused_before_anything_starts(tmp_path: Path) -> None:
    environment = {**os.environ, "IOC_SMTP_URL": "http://mail", "IOC_SMTP_FROM": "ioc@example.vn"}
    command = [sys.executable, "-m", "control_center.console", "up", "--data", str(tmp_path / "data")]
    command += ["--port", str(free_port()), "--mqtt-port", str(free_port())]
    refused = subprocess.run(command, capture_output=True, text=True, timeout=60, env=environment)
    assert (refused.returncode, "IOC_SMTP_URL" in refused.stdout) == (2, True)
    (tmp_path / "data" / "definitions" / "kpis").mkdir(parents=True)
    (tmp_path / "data" / "definitions" / "kpis" / "mine.toml").write_text("kind = 'nothing'\n")
    wrong = subprocess.run(command, capture_output=True, text=True, timeout=60)
    assert (wrong.returncode, "mine.toml" in wrong.stderr) == (2, True)


def run(*arguments: str) -> "subprocess.CompletedProcess[str]":
    command = [sys.executable, "-m", "control_center.console", *arguments]
    return subprocess.run(command, capture_output=True, text=True, timeout=60, env={**os.environ, "COLUMNS": "300"})


@pytest.mark.parametrize(
    ("command", "option"),
    [
        (["up", "--data", "{data}", "--mqtt-port", "{free}"], "--port"),
        (["up", "--data", "{data}", "--port", "{free}"], "--mqtt-port"),
        (["gateway", "--database", "sqlite://", "--redis", "redis://127.0.0.1:1"], "--port"),
        (["replay", "2026-11-24", "2026-11-25", "--database", "sqlite://", "--journal", "kafka://one:1"], "--port"),
    ],
)
def test_a_port_that_cannot_be_had_is_refused_with_the_options_name(
    tmp_path: Path, command: list[str], option: str
) -> None:
    command = [word.format(data=tmp_path / "data", free=free_port()) for word in command]
    with socket.socket() as holder:
        holder.bind(("127.0.0.1", 0))
        holder.listen()
        port = str(holder.getsockname()[1])
        taken = run(*command, option, port)
    assert (taken.returncode, f"{option} {port}" in taken.stdout + taken.stderr) == (2, True)
    assert "http://" not in taken.stdout


@pytest.mark.parametrize(
    ("options", "told"),
    [
        (["--port", "{free}", "--mqtt-port", "{free}"], "two ports are needed"),
        (["--mqtt", "blah"], "--mqtt blah: cần / expected mqtt://host:port"),
        (["--data", "{file}"], "a file where a folder is expected"),
        (["--data", "{file}/[/red]"], "/[/red]: có tệp"),
    ],
)
def test_what_up_cannot_work_with_is_refused_in_words_before_a_child_is_started(
    tmp_path: Path, options: list[str], told: str
) -> None:
    (tmp_path / "file").touch()
    words = {"free": free_port(), "file": tmp_path / "file"}
    ports = ["--port", str(free_port()), "--mqtt-port", str(free_port())]
    refused = run("up", "--data", str(tmp_path / "data"), *ports, *(word.format(**words) for word in options))
    assert (refused.returncode, told in " ".join(refused.stdout.split())) == (2, True), refused.stdout
    assert not (tmp_path / "data").exists()


def test_a_second_ioc_up_on_a_running_ones_folder_is_refused_and_starts_once_that_was_killed(centre: Centre) -> None:
    ports = ["--port", str(free_port()), "--mqtt-port", str(free_port())]
    refused = run("up", "--data", str(centre.data), *ports)
    assert refused.returncode == 2
    told = " ".join(refused.stdout.split())
    assert f"--data {centre.data}" in told
    assert f"(pid {centre.process.pid})" in told
    centre.kill()
    centre.start()
    centre.ready()


def test_wrong_use_exits_with_2_findings_with_1_success_with_0(tmp_path: Path) -> None:
    assert run("check").returncode == 0
    (tmp_path / "kpis").mkdir()
    (tmp_path / "kpis" / "x.toml").write_text("name_vi = 3\n")
    found = run("check", "--definitions", str(tmp_path))
    assert (found.returncode, "x.toml" in found.stdout) == (1, True)
    assert run("check", "--nonsense").returncode == 2
    assert run("summary", "--data", str(tmp_path / "none")).returncode == 2
    assert run("feed", str(tmp_path / "none.csv"), "--kind", "air", "--unit", UNIT, "--source", "s").returncode == 2
    assert run("simulate", "--mqtt", "nowhere").returncode == 2


@pytest.mark.parametrize(
    ("command", "told"),
    [
        (["summary", "--data", "{folder}/empty"], "no such table yet"),
        (["user", "list", "--data", "{folder}/text"], "is not a database"),
        (["simulate", "--scenario", "{folder}/faulty.toml"], "faulty.toml: "),
        (["bridge", "--mqtt", "mqtt://one", "--journal", "sqlite:///x", "--client-id", "a/#"], "--client-id 'a/#'"),
    ],
)
def test_what_cannot_be_read_or_used_is_told_in_a_line_and_exits_with_2(
    tmp_path: Path, command: list[str], told: str
) -> None:
    for name, text in (("empty", ""), ("text", "not a database, and long enough to be read as one" * 40)):
        (tmp_path / name).mkdir()
        (tmp_path / name / "history.sqlite").write_text(text)
    (tmp_path / "faulty.toml").write_text("nothing = 3\n")
    refused = run(*(word.format(folder=tmp_path) for word in command))
    assert (refused.returncode, told in refused.stderr) == (2, True), refused.stderr
    assert "Traceback" not in refused.stderr
