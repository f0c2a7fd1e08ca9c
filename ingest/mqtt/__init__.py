"""MQTT 3.1.1 and 5 as values: bytes in, packets out, and back. No sockets, no clocks, no threads.

    packets   what can be said, as dataclasses, and the reason codes
    wire      the primitive fields: strings, integers, properties
    codec     one packet ↔ its bytes, for either version
    stream    a byte stream cut anywhere → packets; the hot path for PUBLISH

The `mqtt5` wheel is somewhat faster, but a topic that is not UTF-8 makes it panic (an exception outside
`Exception`, with a backtrace on stderr), which any stranger could trigger. So it is not on the wire; the tests use
it as an independent opinion on what our bytes mean.
"""

from ingest.mqtt.packets import Malformed, Reason
from ingest.mqtt.stream import Stream

__all__ = ["Malformed", "Reason", "Stream"]
