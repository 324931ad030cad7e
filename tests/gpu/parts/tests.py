"""The project's own tests of devices, on this one."""

import re

from common import Part

part = Part()


def run(program, *arguments, name=None):
    done = part.run(program, "--gtest_color=no", *arguments)
    for state, test, seconds in re.findall(r"^\[ +(OK|FAILED|SKIPPED) +\] (\S+) \((\d+) ms\)", done.stdout, re.M):
        if state == "SKIPPED":
            part.value(f"{name or program}: {test}", "skipped")
            continue
        said = "" if state == "OK" else done.stdout.split(f"[ RUN      ] {test}")[1].split("[  FAILED  ]")[0]
        part.check(f"{name or program}: {test}", state == "OK", said[:1500].strip())
    if done.returncode != 0 and "FAILED" not in done.stdout:
        part.check(f"{name or program} ends", False, f"status {done.returncode}: {(done.stdout + done.stderr)[-1500:]}")
    part.data(f"{name or program}: output", done.stdout[-20000:])


# Alone first: what a process does with a new device.
run("device_test", "--gtest_filter=StreamContext.MayBeTheFirstOnAGpu", name="device_test, first of all")
run("device_test")
run("device_on_fake_test")
run("sampler_on_device_test")
run("judge_on_device_test")
