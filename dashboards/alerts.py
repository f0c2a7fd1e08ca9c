"""Alert rules as code: one list, written as Grafana's provisioning (SQL, no Prometheus needed) and as Prometheus rules.

Both ask `reports.watch`; docs/operations.md says what each rule means and what to do.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Literal, LiteralString

import yaml

HERE: Final = Path(__file__).parent
GRAFANA: Final = HERE / "provisioning" / "alerting" / "meantime.yaml"
PROMETHEUS: Final = HERE.parent / "deploy" / "prometheus.rules.yml"
METRIC: Final = "meantime_watch"


@dataclass(frozen=True)
class Rule:
    """A figure of `reports.watch` that must not pass a limit for longer than some minutes.

    Attributes:
        holds: minutes for which the condition must hold; 0: at once.
        blind: also when the database cannot be asked. One rule says so; that all do helps nobody.
    """

    name: str
    sign: LiteralString
    limit: float
    severity: Literal["critical", "warning"]
    text_en: str
    text_zh: str
    holds: int = 0
    below: bool = False
    blind: bool = False

    @property
    def sql(self) -> LiteralString:
        """The time, the subject, the figure. One time for all rows: Grafana lays the subjects beside each other by
        time, and what has no value at the last time counts as no data."""
        return "select now() as time, subject, value from reports.watch where sign = '" + self.sign + "'"

    @property
    def promql(self) -> str:
        """The condition on /metrics."""
        return f'{METRIC}{{sign="{self.sign}"}} {"<" if self.below else ">"} {self.limit:g}'

    def fires(self, value: float) -> bool:
        """Whether a figure is beyond the limit."""
        return value < self.limit if self.below else value > self.limit


RULES: Final = (
    Rule("StorageStalled", "lag_seconds", 5, "critical", "Messages wait to be stored", "消息等待入库", 1, blind=True),
    Rule("BufferFull", "buffer_fill", 0.9, "critical", "A door's buffer is full; it has stopped reading",
         "入口缓冲区已满，已停止读取", 2),
    Rule("ProcessSilent", "silent_seconds", 20, "critical", "A process does not answer", "进程无响应", 1),
    Rule("FollowerStalled", "follower_stalled_seconds", 60, "critical", "Stored facts are not being processed",
         "已入库的数据未被处理", 2),
    Rule("FollowerBehind", "follower_waiting", 5000, "warning", "Processing is far behind", "数据处理严重滞后", 10),
    Rule("FactSetAside", "facts_set_aside", 0, "warning", "A stored fact could not be processed",
         "有数据无法处理，已搁置"),
    Rule("DeadLetters", "new_dead_letters", 0, "warning", "Messages could not be used", "有消息无法使用"),
    Rule("DeadLettersNearLimit", "dead_letter_fill", 0.8, "warning",
         "Dead letters are near the bytes that are kept; beyond it the oldest are forgotten",
         "死信接近保留上限，超出后最旧的将被删除"),
    Rule("ValuesRefused", "new_refused_values", 100, "warning", "Many values are refused", "大量数值被拒绝", 5),
    Rule("UnknownDevices", "unknown_devices", 0, "warning", "Unknown devices try to connect",
         "有未登记的设备尝试接入"),
    Rule("ConnectionsNearLimit", "connection_fill", 0.9, "warning", "An end point is nearly full of connections",
         "接入点连接数接近上限", 5),
    Rule("BrokerSessionLost", "broker_sessions_lost", 0, "critical",
         "The broker forgot the collector's session; messages may be lost", "代理丢失了采集会话，消息可能丢失"),
    Rule("LogRecordsGone", "log_records_gone", 0, "critical", "Records of the log are gone that were not stored",
         "日志中有未入库的记录已丢失"),
    Rule("PartitionsNotAhead", "partition_days_ahead", 1, "warning",
         "No partition for tomorrow: the storage process does not work", "没有明天的分区：存储进程未工作", 10,
         below=True),
)  # fmt: skip
SILENT: Final = {
    "alert": "MeantimeUnseen",
    "expr": "absent(meantime_process_beat_age_seconds)",
    "for": "2m",
    "labels": {"severity": "critical"},
    "annotations": {
        "summary": "/metrics brings no figures: the API or the database is away",
        "summary_zh": "/metrics 没有数据：API 或数据库不可用",
    },
}


def grafana() -> dict[str, Any]:
    """Grafana's provisioning file."""
    group = {
        "orgId": 1,
        "name": "Meantime",
        "folder": "Meantime",
        "interval": "30s",
        "rules": [_for_grafana(rule) for rule in RULES],
    }
    return {"apiVersion": 1, "groups": [group]}


def _for_grafana(rule: Rule) -> dict[str, Any]:
    return {
        "uid": f"meantime-{rule.sign.replace('_', '-')}",
        "title": f"{rule.name}: {rule.text_en}",
        "condition": "C",
        "for": f"{rule.holds}m",
        "noDataState": "OK",
        "execErrState": "Alerting" if rule.blind else "OK",
        "labels": {"severity": rule.severity, "product": "meantime"},
        "annotations": {
            "summary": rule.text_en + ": {{ $labels.subject }} = {{ $values.B }}",
            "summary_zh": rule.text_zh + "：{{ $labels.subject }} = {{ $values.B }}",
        },
        "data": [_query(rule), _reduce(), _threshold(rule)],
    }


def _query(rule: Rule) -> dict[str, Any]:
    return {
        "refId": "A",
        "datasourceUid": "meantime",
        "relativeTimeRange": {"from": 600, "to": 0},
        "model": {
            "refId": "A", "format": "time_series", "rawQuery": True, "editorMode": "code", "rawSql": rule.sql,
            "intervalMs": 1000, "maxDataPoints": 100,
        },
    }  # fmt: skip


def _reduce() -> dict[str, Any]:
    model = {"refId": "B", "type": "reduce", "reducer": "last", "expression": "A"}
    return {"refId": "B", "datasourceUid": "__expr__", "model": model}


def _threshold(rule: Rule) -> dict[str, Any]:
    evaluator = {"type": "lt" if rule.below else "gt", "params": [rule.limit]}
    model = {"refId": "C", "type": "threshold", "expression": "B", "conditions": [{"evaluator": evaluator}]}
    return {"refId": "C", "datasourceUid": "__expr__", "model": model}


def prometheus() -> dict[str, Any]:
    """A rule file of Prometheus."""
    rules = [
        {
            "alert": f"Meantime{rule.name}",
            "expr": rule.promql,
            "for": f"{rule.holds}m",
            "labels": {"severity": rule.severity},
            "annotations": {
                "summary": rule.text_en + ": {{ $labels.subject }} = {{ $value }}",
                "summary_zh": rule.text_zh + "：{{ $labels.subject }} = {{ $value }}",
            },
        }
        for rule in RULES
    ]
    return {"groups": [{"name": "meantime", "interval": "30s", "rules": [*rules, SILENT]}]}


def files() -> dict[Path, str]:
    """What is committed, by path."""
    head = "# Made by `python -m dashboards.alerts`; docs/operations.md says what each rule means.\n"
    return {
        path: head + yaml.safe_dump(content, sort_keys=False, allow_unicode=True, width=120)
        for path, content in ((GRAFANA, grafana()), (PROMETHEUS, prometheus()))
    }


def write() -> None:
    """Write both files."""
    for path, text in files().items():
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")


if __name__ == "__main__":
    write()
