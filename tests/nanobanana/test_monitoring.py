"""What lies in deploy/ for Prometheus and Grafana, compared with what the server gives them."""

import json
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

from scripts.grafana_dashboard import dashboard

ROOT = Path(__file__).resolve().parents[2]
PROMETHEUS = ROOT / "deploy" / "prometheus"
DASHBOARD = ROOT / "deploy" / "grafana" / "dashboards" / "nanobanana.json"
PROMTOOL = shutil.which("promtool")
needs_promtool = pytest.mark.skipif(PROMTOOL is None, reason="promtool is not installed (Debian: prometheus)")


def read_yaml(path: Path) -> Any:
    return yaml.safe_load(path.read_text(encoding="utf-8"))


def rules() -> list[dict[str, Any]]:
    return [rule for group in read_yaml(PROMETHEUS / "rules.yml")["groups"] for rule in group["rules"]]


def expressions_of_dashboard() -> list[str]:
    panels = json.loads(DASHBOARD.read_text(encoding="utf-8"))["panels"]
    return [target["expr"] for panel in panels for target in panel.get("targets", [])]


def series_given() -> dict[str, set[str]]:
    """The labels of every series in docs/metrics.md, which test_metrics.py compares with the server."""
    document = (ROOT / "docs/metrics.md").read_text(encoding="utf-8")
    given: dict[str, set[str]] = {}
    for name, labels, what in re.findall(r"^\| `(nanobanana_\w+)` \| ([^|]*)\| (.*)", document, re.MULTILINE):
        own = set(re.findall(r"`(\w+)`", labels))
        if "a histogram" in what:
            given |= {f"{name}_bucket": own | {"le"}, f"{name}_count": own, f"{name}_sum": own}
        else:
            given[name] = own
    return given


def series_in(expression: str) -> list[tuple[str, set[str]]]:
    """The series an expression asks for, with the labels it chooses by."""
    found = re.findall(r"\b(nanobanana_\w+)(?:{([^}]*)})?", expression)
    return [(name, set(re.findall(r"(\w+)\s*(?:=~|!~|!=|=)", chosen))) for name, chosen in found]


@pytest.mark.parametrize("expression", [rule["expr"] for rule in rules()] + expressions_of_dashboard())
def test_whatever_is_asked_for_is_given(expression: str) -> None:
    given, of_prometheus = series_given(), {"job", "instance"}
    asked = series_in(expression)
    assert asked or "nanobanana:" in expression or "up{" in expression
    for name, labels in asked:
        assert labels <= given[name] | of_prometheus, name
    grouped = set(re.findall(r"\w+", " ".join(re.findall(r"\bby \(([^)]*)\)", expression))))
    assert grouped <= set.union(of_prometheus, *(given[name] for name, _ in asked))


def test_no_label_is_one_of_prometheus_s_own() -> None:
    assert not set.union(*series_given().values()) & {"job", "instance"}


def test_everything_given_is_on_the_dashboard() -> None:
    asked = {name for expression in expressions_of_dashboard() for name, _ in series_in(expression)}
    shown = {re.sub(r"_(?:bucket|count|sum)$", "", name) for name in asked}
    given = {re.sub(r"_(?:bucket|count|sum)$", "", name) for name in series_given()}
    assert given - shown == set()


def test_recorded_series_are_recorded() -> None:
    recorded = {rule["record"] for rule in rules() if "record" in rule}
    asked = set(re.findall(r"\bnanobanana:[\w:]+", " ".join(rule["expr"] for rule in rules())))
    assert asked == recorded


def test_every_alert_says_how_bad_it_is_and_what_to_do() -> None:
    alerts = [rule for rule in rules() if "alert" in rule]
    assert len({alert["alert"] for alert in alerts}) == len(alerts) > 10
    for alert in alerts:
        assert alert["labels"]["severity"] in {"warning", "critical"}
        assert alert["annotations"]["summary"].endswith(".")


def test_the_dashboard_is_what_its_script_prints() -> None:
    assert json.loads(DASHBOARD.read_text(encoding="utf-8")) == dashboard()


def test_panels_lie_side_by_side_and_speak_to_the_data_source_that_is_provisioned() -> None:
    [source] = read_yaml(ROOT / "deploy/grafana/provisioning/datasources/prometheus.yml")["datasources"]
    panels = dashboard()["panels"]
    cells: set[tuple[int, int]] = set()
    for panel in panels:
        place = panel["gridPos"]
        own = {
            (x, y)
            for x in range(place["x"], place["x"] + place["w"])
            for y in range(place["y"], place["y"] + place["h"])
        }
        assert not own & cells
        assert place["x"] + place["w"] <= 24
        cells |= own
        for target in panel.get("targets", []):
            assert target["datasource"] == {"type": source["type"], "uid": source["uid"]}
    assert len({panel["id"] for panel in panels}) == len(panels)


def test_compose_shows_each_where_the_other_is() -> None:
    services = read_yaml(ROOT / "docker-compose.yml")["services"]
    scraped = read_yaml(PROMETHEUS / "prometheus.yml")["scrape_configs"][0]
    assert scraped["static_configs"] == [{"targets": [f"app:{services['app']['environment']['PORT']}"]}]
    assert scraped["authorization"]["credentials_file"] in services["prometheus"]["entrypoint"][-1]
    [source] = read_yaml(ROOT / "deploy/grafana/provisioning/datasources/prometheus.yml")["datasources"]
    assert source["url"] == "http://prometheus:9090"
    [provider] = read_yaml(ROOT / "deploy/grafana/provisioning/dashboards/nanobanana.yml")["providers"]
    mounted = dict(mount.removesuffix(":ro").split(":") for mount in services["grafana"]["volumes"])
    assert mounted[f"./{DASHBOARD.parent.relative_to(ROOT)}"] == provider["options"]["path"]
    for kind in ("datasources", "dashboards"):
        assert mounted[f"./deploy/grafana/provisioning/{kind}"] == f"/etc/grafana/provisioning/{kind}"
    for name in ("prometheus", "grafana"):
        assert all(port.startswith("127.0.0.1:") for port in services[name]["ports"])
        assert "set METRICS_TOKEN in .env" in services[name]["entrypoint"][-1]


def test_nginx_keeps_metrics_to_this_side() -> None:
    conf = (ROOT / "deploy/nginx/nginx.conf").read_text(encoding="utf-8")
    assert re.search(r"location = /metrics \{\s*return 404;\s*\}", conf)


@needs_promtool
def test_prometheus_takes_the_configuration_and_the_rules(tmp_path: Path) -> None:
    shutil.copytree(PROMETHEUS, tmp_path / "prometheus")
    config = tmp_path / "prometheus" / "prometheus.yml"
    (tmp_path / "token").write_text("t")
    config.write_text(config.read_text().replace("/tmp/metrics-token", str(tmp_path / "token")))
    promtool("check", "config", config)


@needs_promtool
def test_prometheus_understands_what_the_dashboard_asks_for(tmp_path: Path) -> None:
    asked = [expression.replace("$__rate_interval", "1m") for expression in expressions_of_dashboard()]
    records = [{"record": f"asked:{number}", "expr": expression} for number, expression in enumerate(asked)]
    (tmp_path / "rules.yml").write_text(yaml.safe_dump({"groups": [{"name": "dashboard", "rules": records}]}))
    promtool("check", "rules", tmp_path / "rules.yml")


@needs_promtool
def test_alerts_are_raised_when_they_should_be() -> None:
    promtool("test", "rules", ROOT / "tests" / "data" / "alerts.yml")


def promtool(*arguments: str | Path) -> None:
    result = subprocess.run([str(PROMTOOL), *map(str, arguments)], capture_output=True, text=True, timeout=60)
    assert result.returncode == 0, result.stdout + result.stderr
