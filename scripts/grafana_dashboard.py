"""Print Grafana's dashboard, which is kept in deploy/grafana/dashboards/nanobanana.json (`make dashboard`).

A dashboard is a thousand lines of JSON, which say the same of every graph. What differs stands here.
"""

import json
from collections.abc import Iterator
from typing import Any, NamedTuple

SOURCE = {"type": "prometheus", "uid": "prometheus"}
WIDTH, HEIGHT = 8, 7  # of 24 columns; in Grafana's units
RATE = "[$__rate_interval]"
QUICK = 'route!~"/api/sync|.*/(export|import)"'  # the others take as long as they are asked to


class Graph(NamedTuple):
    """Lines over time: by legend, what Prometheus is asked for."""

    title: str
    unit: str
    lines: dict[str, str]


def rate(metric: str, *by: str, only: str = "") -> str:
    """How often a second, by these labels."""
    grouping = f" by ({', '.join(by)})" if by else ""
    return (
        f"sum{grouping} (rate({metric}{{{only}}}{RATE}))" if only else f"sum{grouping} (rate({metric}{RATE}))"
    )


def quantile(share: float, metric: str, *by: str, only: str = "") -> str:
    return f"histogram_quantile({share}, {rate(f'{metric}_bucket', 'le', *by, only=only)})"


def three_quantiles(metric: str, *, only: str = "") -> dict[str, str]:
    return {f"p{round(share * 100)}": quantile(share, metric, only=only) for share in (0.5, 0.95, 0.99)}


OF_OURS = 'status=~"5.."'
REQUESTS, SECONDS = "nanobanana_http_requests_total", "nanobanana_http_request_seconds"
ROWS = {
    "Requests": [
        Graph("Requests by status", "reqps", {"{{status}}": rate(REQUESTS, "status")}),
        Graph(
            "Requests by route, the ten busiest",
            "reqps",
            {"{{method}} {{route}}": f"topk(10, {rate(REQUESTS, 'method', 'route')})"},
        ),
        Graph(
            "Errors of ours",
            "percentunit",
            {"5xx": f"({rate(REQUESTS, only=OF_OURS)} or vector(0)) / {rate(REQUESTS)}"},
        ),
        Graph("Duration", "s", three_quantiles(SECONDS, only=QUICK)),
        Graph(
            "Duration by route, the ten slowest (p95)",
            "s",
            {"{{method}} {{route}}": f"topk(10, {quantile(0.95, SECONDS, 'method', 'route', only=QUICK)})"},
        ),
        Graph(
            "Refused: 401, 403, 404, 409, 422, 429",
            "reqps",
            {"{{status}}": rate(REQUESTS, "status", only='status=~"4.."')},
        ),
    ],
    "Devices in step": [
        Graph("Open sockets", "short", {"{{instance}}": "nanobanana_sockets_open"}),
        Graph(
            "Sockets asked for, by what came of it",
            "cps",
            {"{{outcome}}": rate("nanobanana_socket_handshakes_total", "outcome")},
        ),
        Graph(
            "Sockets that ended, by close code",
            "cps",
            {"{{code}}": rate("nanobanana_sockets_closed_total", "code")},
        ),
        Graph("Events delivered", "cps", {"to sockets and polls": rate("nanobanana_deliveries_total")}),
        Graph(
            "Devices that returned",
            "cps",
            {
                "got what they missed": rate("nanobanana_recoveries_total"),
                "had to reload": rate("nanobanana_resyncs_total"),
            },
        ),
        Graph(
            "Doorbell connections lost",
            "short",
            {"{{instance}}": f"sum by (instance) (increase(nanobanana_doorbell_losses_total{RATE}))"},
        ),
    ],
    "Redis and the storage": [
        Graph("Services that answer", "short", {"{{service}}": "min by (service) (nanobanana_service_up)"}),
        Graph("Redis, a PING", "s", three_quantiles("nanobanana_redis_ping_seconds")),
        Graph(
            "Redis, memory",
            "bytes",
            {
                "data": "max(nanobanana_redis_memory_bytes)",
                "from the machine": "max(nanobanana_redis_memory_resident_bytes)",
                "limit": "max(nanobanana_redis_memory_limit_bytes > 0)",
            },
        ),
        Graph("Redis, commands", "ops", {"commands": f"max(rate(nanobanana_redis_commands_total{RATE}))"}),
        Graph(
            "Redis, connections",
            "short",
            {
                "open": "max(nanobanana_redis_clients)",
                "blocked": "max(nanobanana_redis_clients_blocked)",
                "refused": f"max(increase(nanobanana_redis_rejected_connections_total{RATE}))",
            },
        ),
        Graph(
            "Redis, what must not be",
            "short",
            {
                "keys deleted": f"max(increase(nanobanana_redis_evicted_keys_total{RATE}))",
                "writes not kept": "1 - min(nanobanana_redis_keeps_writes)",
                "not answered": f"sum(increase(nanobanana_redis_silences_total{RATE}))",
                "no master": "1 - min(nanobanana_redis_is_master)",
            },
        ),
    ],
    "Jobs": [
        Graph("Jobs by state", "short", {"{{state}}": "max by (state) (nanobanana_jobs)"}),
        Graph(
            "Jobs done, by outcome",
            "cps",
            {"{{name}} {{outcome}}": rate("nanobanana_job_runs_total", "name", "outcome")},
        ),
        Graph("Duration (p95)", "s", {"{{name}}": quantile(0.95, "nanobanana_job_seconds", "name")}),
    ],
    "Pictures and pools": [
        Graph(
            "Uploads by type and outcome",
            "cps",
            {"{{type}} {{outcome}}": rate("nanobanana_uploads_total", "type", "outcome")},
        ),
        Graph("Bytes uploaded", "Bps", {"{{type}}": rate("nanobanana_uploaded_bytes_total", "type")}),
        Graph("Refused by pools", "cps", {"{{pool}}": rate("nanobanana_pool_refusals_total", "pool")}),
        Graph(
            "Waiting for a thread (p95)",
            "s",
            {"{{pool}}": quantile(0.95, "nanobanana_pool_wait_seconds", "pool")},
        ),
        Graph(
            "Work in a thread (p95)",
            "s",
            {"{{pool}}": quantile(0.95, "nanobanana_pool_work_seconds", "pool")},
        ),
    ],
    "Sign-ins": [
        Graph(
            "Sign-ins", "cps", {"{{how}}": rate("nanobanana_sign_ins_total", "how", only='outcome="done"')}
        ),
        Graph(
            "Sign-ins that failed",
            "cps",
            {
                "{{how}} {{outcome}}": rate(
                    "nanobanana_sign_ins_total", "how", "outcome", only='outcome!="done"'
                )
            },
        ),
    ],
    "Processes": [
        Graph(
            "Processes",
            "short",
            {"serve, {{instance}}": "nanobanana_workers", "do jobs": "max(nanobanana_job_workers)"},
        ),
        Graph(
            "Processes started",
            "short",
            {"{{instance}}": f"sum by (instance) (increase(nanobanana_worker_starts_total{RATE}))"},
        ),
        Graph("Memory", "bytes", {"{{instance}}": "nanobanana_worker_memory_bytes"}),
        Graph(
            "CPU, cores", "short", {"{{instance}}": rate("nanobanana_worker_cpu_seconds_total", "instance")}
        ),
        Graph("How late event loops are", "s", three_quantiles("nanobanana_loop_delay_seconds")),
    ],
}


def dashboard() -> dict[str, Any]:
    return {
        "uid": "nanobanana",
        "title": "nanobanana",
        "tags": ["nanobanana"],
        "schemaVersion": 39,
        "editable": True,
        "refresh": "30s",
        "time": {"from": "now-1h", "to": "now"},
        "timezone": "browser",
        "templating": {"list": []},
        "annotations": {"list": []},
        "panels": [{"id": number, **panel} for number, panel in enumerate(panels(), 1)],
    }


def panels() -> Iterator[dict[str, Any]]:
    top = 0
    for title, graphs in ROWS.items():
        yield {
            "type": "row",
            "title": title,
            "collapsed": False,
            "panels": [],
            "gridPos": place(0, top, 24, 1),
        }
        top += 1
        for number, graph in enumerate(graphs):
            line, column = divmod(number, 24 // WIDTH)
            yield panel(graph, place(column * WIDTH, top + line * HEIGHT, WIDTH, HEIGHT))
        top += -(-len(graphs) * WIDTH // 24) * HEIGHT


def panel(graph: Graph, position: dict[str, int]) -> dict[str, Any]:
    return {
        "type": "timeseries",
        "title": graph.title,
        "datasource": SOURCE,
        "gridPos": position,
        "fieldConfig": {
            "defaults": {
                "unit": graph.unit,
                "min": 0,
                "custom": {"lineWidth": 1, "fillOpacity": 8, "showPoints": "never", "spanNulls": False},
            },
            "overrides": [],
        },
        "options": {
            "legend": {"displayMode": "list", "placement": "bottom", "showLegend": True},
            "tooltip": {"mode": "multi", "sort": "desc"},
        },
        "targets": [
            {
                "refId": chr(ord("A") + number),
                "datasource": SOURCE,
                "expr": expression,
                "legendFormat": legend,
            }
            for number, (legend, expression) in enumerate(graph.lines.items())
        ],
    }


def place(x: int, y: int, width: int, height: int) -> dict[str, int]:
    return {"x": x, "y": y, "w": width, "h": height}


if __name__ == "__main__":
    print(json.dumps(dashboard(), indent=1))
