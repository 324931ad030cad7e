"""What the parts of the first run share: how they tell results, and how they start programs.

A part is a script of parts/ with a context (a JSON file) as its argument. It prints a JSON object a line,
at once, so that what it measured before its limit is not lost:
    {"name", "value", "unit"}      a measurement
    {"check", "ok", "detail"}      something that must hold
    {"skip"}                       the whole part cannot be done here, and why
    {"data", "content"}            what goes into the JSON file alone
Nothing here needs more than Python itself; the parts say what they import.
"""

import glob
import importlib.util
import json
import os
import pathlib
import subprocess
import sys
import threading
import time

HERE = pathlib.Path(__file__).resolve().parent
ROOT = HERE.parents[1]
JUDGE = ROOT / "examples/tinyworld/checkpoints/judge"
GENERATOR = ROOT / "examples/tinyworld/checkpoints/generator"
PROMPT = "a small red circle moves left over a gray background"


def libraries(bundle):
    """LD_LIBRARY_PATH of the bundle's programs: its own libraries, then those of this machine's torch."""
    torch = importlib.util.find_spec("torch")
    if torch is None:
        raise SystemExit(f"[first_run] torch is missing in {sys.executable}: start with a Python that has it")
    site = pathlib.Path(torch.origin).parents[1]
    found = [bundle / "lib", site / "torch/lib", *map(pathlib.Path, sorted(glob.glob(str(site / "nvidia/*/lib"))))]
    return ":".join(map(str, found))


class Part:
    def __init__(self):
        self.context = json.loads(pathlib.Path(sys.argv[1]).read_text())
        self.device = self.context["device"]
        self.toy = self.context["toy"]
        self.threads = self.context["threads"]
        self.bin = pathlib.Path(self.context["bin"])
        self.work = pathlib.Path(self.context["work"])
        self.models = pathlib.Path(self.context["models"])
        self.references = pathlib.Path(self.context["references"]) if self.context["references"] else None
        if self.references and (self.references / "site").exists():
            sys.path.insert(0, str(self.references / "site"))
        self.prefix = ""

    @staticmethod
    def _print(**line):
        print(json.dumps(line), flush=True)

    def value(self, name, value, unit=""):
        self._print(name=self.prefix + name, value=value, unit=unit)

    def check(self, name, ok, detail=""):
        self._print(check=self.prefix + name, ok=bool(ok), detail=str(detail))
        return bool(ok)

    def data(self, name, content):
        self._print(data=name, content=content)

    def skip(self, reason):
        self._print(skip=reason)
        sys.exit(0)

    def needs_references(self):
        if self.references is None:
            self.skip("no bundle was given, and the references travel in it")

    def needs_models(self, *names):
        for name in names:
            if not (self.models / name / "ready").exists():
                self.skip(f"the weights of {name} are missing: ask for the part `weights` too")

    def environment(self, **more):
        environment = dict(os.environ, BESTREEL_TEST_SOURCES=str(ROOT), BESTREEL_TEST_DEVICE=self.device, **more)
        if self.context["libraries"]:
            environment["LD_LIBRARY_PATH"] = self.context["libraries"]
        return environment

    def run(self, program, *arguments, timeout=None, **environment):
        """A program of the bundle, to its end."""
        return subprocess.run([str(self.bin / program), *map(str, arguments)], stdin=subprocess.DEVNULL,
                              capture_output=True, text=True, timeout=timeout, env=self.environment(**environment))

    def speed(self, program, request, **environment):
        """judge_speed or wan_speed: what it tells is passed on as it comes, and returned."""
        path = self.work / f"{program}-request.json"
        path.write_text(json.dumps(dict(device=self.device, threads=self.threads, **request), default=str))
        child = subprocess.Popen([str(self.bin / program), str(path)], stdin=subprocess.DEVNULL, text=True,
                                 stdout=subprocess.PIPE, env=self.environment(**environment))
        told = {}
        for line in child.stdout:
            one = json.loads(line)
            if "check" in one:
                self.check(one["check"], one["ok"], one["detail"])
            else:
                self.value(one["name"], one["value"], one["unit"])
                told[one["name"]] = one["value"]
        self.check(f"{program} ends well", child.wait() == 0, f"exit status {child.returncode}")
        return told

    def pythons(self, script, request):
        """One of the reference scripts in a process of its own, passed on as it comes."""
        path = self.work / "reference-request.json"
        path.write_text(json.dumps(dict(device=self.device, threads=self.threads,
                                        site=str(self.references / "site") if self.references else "", **request),
                                   default=str))
        child = subprocess.Popen([sys.executable, str(HERE / script), str(path)], stdin=subprocess.DEVNULL, text=True,
                                 stdout=subprocess.PIPE)
        told = {}
        for line in child.stdout:
            if not line.startswith("{"):
                continue
            one = json.loads(line)
            self.value(one["name"], one["value"], one["unit"])
            told[one["name"]] = one["value"]
        # Another version of the reference library may refuse these weights: that is no fault of ours.
        if child.wait() != 0:
            self.value(f"{script} failed, so there is nothing to compare with: exit status", child.returncode)
        return told


class Sampler:
    """Memory, load, power and clock of the GPU five times a second, while the block runs."""

    def __init__(self, part, name):
        self.part, self.name, self.rows, self.stop = part, name, [], threading.Event()

    def __enter__(self):
        self.thread = None
        if self.part.device != "cpu":
            try:
                import pynvml
                pynvml.nvmlInit()
                self.nvml, self.handle = pynvml, pynvml.nvmlDeviceGetHandleByIndex(0)
                self.thread = threading.Thread(target=self._sample, daemon=True)
                self.thread.start()
            except Exception as error:  # a measurement beside others: its lack is told, not fatal
                self.part.value(f"{self.name}: no samples of the GPU: {error}", 0)
        return self

    def _sample(self):
        begin = time.monotonic()
        while not self.stop.wait(0.2):
            nvml, handle = self.nvml, self.handle
            self.rows.append([round(time.monotonic() - begin, 1), nvml.nvmlDeviceGetMemoryInfo(handle).used >> 20,
                              nvml.nvmlDeviceGetUtilizationRates(handle).gpu, nvml.nvmlDeviceGetPowerUsage(handle) // 1000,
                              nvml.nvmlDeviceGetClockInfo(handle, nvml.NVML_CLOCK_SM)])

    def __exit__(self, *_):
        self.stop.set()
        if self.thread:
            self.thread.join()
        if self.rows:
            self.part.data(f"{self.name}: seconds, MiB used, % busy, W, MHz", self.rows)
            self.part.value(f"{self.name}: most memory in use", max(row[1] for row in self.rows), "MiB")
            self.part.value(f"{self.name}: busy, mean", round(sum(row[2] for row in self.rows) / len(self.rows)), "%")
