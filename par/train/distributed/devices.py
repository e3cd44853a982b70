"""The devices of this machine, as artefacts name them."""

from __future__ import annotations

import tensorflow as tf


def device_names() -> list[str]:
    """The name of the CPU, then of each GPU; the kind of a device that has no name."""
    devices = tf.config.list_physical_devices()
    details = map(tf.config.experimental.get_device_details, devices)
    return [
        detail.get("device_name", device.device_type)
        for detail, device in zip(details, devices, strict=True)
    ]
