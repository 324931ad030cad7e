"""The results of a first run as one JSON file and one Markdown file."""

import datetime
import json
import pathlib
import platform
import subprocess

LARGEST = 12 << 20  # bytes of the JSON file


def machine():
    """What the figures belong to."""
    lines = {}
    for name, command in (("gpu", ["nvidia-smi", "--query-gpu=name,driver_version,memory.total", "--format=csv,noheader"]),
                          ("commit", ["git", "rev-parse", "--short", "HEAD"])):
        try:
            done = subprocess.run(command, capture_output=True, text=True, timeout=10)
            lines[name] = done.stdout.strip() if done.returncode == 0 else "unknown"
        except (OSError, subprocess.TimeoutExpired):
            lines[name] = "none"
    model = [line for line in open("/proc/cpuinfo") if line.startswith("model name")]
    return dict(lines, date=datetime.datetime.now(datetime.timezone.utc).strftime("%Y-%m-%d %H:%M UTC"),
                kernel=platform.release(), python=platform.python_version(),
                processor=f"{len(model)} x {model[0].split(':')[1].strip()}" if model else platform.machine())


def number(value):
    return f"{value:.4g}" if isinstance(value, float) else str(value)


class Run:
    def __init__(self, args, context):
        self.out, self.parts, self.answers = args.out, [], {}
        self.head = dict(machine(), device=args.device, sizes="toys" if context["toy"] else "full",
                         programs=str(args.bin or args.bundle), parts=args.parts)
        if context["bundle"]:
            self.head["commit"] = json.loads(pathlib.Path(context["bundle"], "manifest.json").read_text())["commit"]

    def add(self, part, answers):
        self.parts.append(part)
        self.answers[part["name"]] = answers
        print(f"{part['state']:8}{part['name']:10}{part['seconds']:6.1f} s  {part['why']}", flush=True)
        self.write()

    def write(self):
        text = json.dumps(dict(self.head, results=self.parts), indent=1)
        if len(text) > LARGEST:
            kept = [dict(part, data={"dropped": "the file would be too large"}) for part in self.parts]
            text = json.dumps(dict(self.head, results=kept), indent=1)
        (self.out / "first_run.json").write_text(text + "\n")
        (self.out / "first_run.md").write_text(self.markdown())

    def markdown(self):
        lines = ["# First run", ""]
        lines += [f"- {name}: {value}" for name, value in self.head.items()]
        if self.head["sizes"] == "toys":
            lines += ["", "Toy sizes on a CPU: this shows that the parts work. Its times mean nothing."]
        lines += ["", "| part | state | seconds | why | question |", "|---|---|---|---|---|"]
        lines += [f"| {p['name']} | {p['state']} | {p['seconds']} | {self.cell(p['why'])} | {self.answers[p['name']]} |"
                  for p in self.parts]
        for part in self.parts:
            if not part["values"] and not part["checks"]:
                continue
            lines += ["", f"## {part['name']}", ""]
            for check in part["checks"]:
                lines.append(f"- {'ok' if check['ok'] else 'FAILED'}: {check['check']}"
                             + (f" ({self.cell(check['detail'])})" if check["detail"] else ""))
            if part["values"]:
                lines += ["", "| measured | value | |", "|---|---|---|"]
                lines += [f"| {self.cell(v['name'])} | {number(v['value'])} | {self.cell(v['unit'])} |"
                          for v in part["values"]]
        return "\n".join(lines) + "\n"

    @staticmethod
    def cell(text):
        return " ".join(str(text).split()).replace("|", "\\|")[:400]
