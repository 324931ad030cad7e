"""compute-sanitizer over the device tests; some machines refuse it."""

import shutil

from common import Part

part = Part()
if part.device == "cpu":
    part.skip("compute-sanitizer looks at a GPU, and this is the CPU")
tool = shutil.which("compute-sanitizer") or shutil.which("compute-sanitizer", path="/usr/local/cuda/bin")
if tool is None:
    part.skip("compute-sanitizer is not installed")
for check in ("memcheck", "initcheck"):
    import subprocess
    done = subprocess.run([tool, "--tool", check, "--error-exitcode", "9", part.bin / "device_test",
                           "--gtest_filter=*OnAGpu:Upload.*:-*HostRead*"], capture_output=True, text=True,
                          env=part.environment())
    said = done.stdout + done.stderr
    part.data(check, said[-8000:])
    if "not supported" in said or "Unable to" in said or "error 999" in said:
        part.skip("compute-sanitizer is refused here: " + next(
            line for line in said.splitlines() if "not supported" in line or "Unable to" in line or "999" in line)[:200])
    part.check(f"{check} finds nothing", done.returncode == 0 and "ERROR SUMMARY: 0 errors" in said, said[-600:])
