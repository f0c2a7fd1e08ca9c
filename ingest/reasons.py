"""Why a message or a value was refused: the closed list, with the words that people read.

A `message` reason sends the whole message to `ingest.dead_letter`; a `value` reason sends one value to
`ingest.quarantine` while the rest of its message is stored. Totals are counted as `refused:<code>`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True)
class Reason:
    """A reason; `scope` tells what it refuses."""

    code: str
    scope: Literal["message", "value"]
    text_en: str
    text_zh: str


REASONS: dict[str, Reason] = {
    reason.code: reason
    for reason in (
        Reason("empty", "message", "The message holds nothing", "消息为空"),
        Reason("oversized", "message", "The message is too large", "消息过大"),
        Reason("bad_utf8", "message", "The text is not UTF-8", "文本不是 UTF-8 编码"),
        Reason("malformed", "message", "Not well-formed JSON", "JSON 格式错误"),
        Reason("bad_fields", "message", "Fields are missing or of the wrong type", "字段缺失或类型错误"),
        Reason("duplicate_key", "message", "A field appears twice", "字段重复"),
        Reason("bad_time", "message", "The time stamp cannot be read", "时间戳无法识别"),
        Reason("clock_not_set", "message", "The device's clock was never set", "设备时钟未校准"),
        Reason("time_too_old", "message", "The time stamp is too old", "时间戳过早"),
        Reason("time_in_future", "message", "The time stamp lies ahead", "时间戳超前"),
        Reason("bad_sequence", "message", "The sequence number cannot be used", "序号无效"),
        Reason("unknown_topic", "message", "No codec knows this topic", "未知主题"),
        Reason("no_device", "message", "The topic names no device and nobody logged in", "无法确定设备"),
        Reason("unknown_device", "message", "The device is not provisioned", "设备未登记"),
        Reason("no_birth", "message", "No birth certificate for an alias", "别名没有出生证书"),
        Reason("revoked_device", "message", "The device was revoked", "设备已停用"),
        Reason("wrong_device", "message", "A device published as another", "设备冒用其他设备身份"),
        Reason("unregistered_model", "message", "No device type fits the new device", "没有匹配的设备型号"),
        Reason("decoder_error", "message", "The decoder failed on this message", "解码器出错"),
        Reason("database_refused", "message", "The database refused this message", "数据库拒绝写入"),
        Reason("unknown_metric", "value", "The device type has no such metric", "设备型号没有该测点"),
        Reason("bad_name", "value", "The name of the value cannot be used", "测点名称无效"),
        Reason("not_a_number", "value", "Not a number", "不是数值"),
        Reason("not_finite", "value", "Not a finite number", "数值不是有限值"),
        Reason("wrong_unit", "value", "The unit does not fit the device type", "单位与设备型号不符"),
        Reason("out_of_range", "value", "Physically impossible", "超出物理范围"),
        Reason("duplicate_value", "value", "The metric appears twice in one message", "同一消息中测点重复"),
        Reason(
            "unknown_fault_code", "value", "The device type has no such fault code", "设备型号没有该故障代码"
        ),
        Reason("hours_backwards", "value", "The run-hours counter ran backwards", "运行小时计数倒退"),
        Reason(
            "hours_unexplained",
            "value",
            "The run-hours counter restarted undeclared",
            "运行小时计数器未申报重置",
        ),
        Reason(
            "hours_faster_than_time",
            "value",
            "The run-hours counter ran faster than time",
            "运行小时增长快于时间",
        ),
    )
}
