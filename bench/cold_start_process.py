"""One cold start in a process of its own: `cold_start_process.py WHAT ROOT`, JSON on stdout.

It is run as a file, so that of Daybook it finds only what the checkout at ROOT makes it find.
"""

import json
import os
import sys
import time

TARGETS = {"daybook": "/run", "ledger": os.environ.get("BENCH_DEBIT", "")}
BODIES = {
    "daybook": {"batchDate": "2026-01-18"},
    "ledger": {"amountPaise": 1, "type": "payout"},
}


def peak_mib() -> float:
    # Not ru_maxrss, which begins with what the process that started this one had.
    with open("/proc/self/status") as status:
        return next(int(line.split()[1]) / 1024 for line in status if line.startswith("VmHWM:"))


def main(what: str, root: str) -> None:
    sys.path.pop(0)  # this file's folder
    started, cpu = time.perf_counter(), time.process_time()
    if what in TARGETS:
        import functions_framework

        app = functions_framework.create_app(what, os.path.join(root, "main.py"))
    else:
        import functions_framework
        import pymongo  # noqa: F401

        if what == "and_handler":
            import google.cloud.logging_v2.handlers.structured_log  # noqa: F401
    result = {
        "import_ms": (time.perf_counter() - started) * 1000,
        "import_cpu_ms": (time.process_time() - cpu) * 1000,
        "import_mb": peak_mib(),
    }
    if what in TARGETS:
        answer = app.test_client().post(
            TARGETS[what], json=BODIES[what], headers={"Idempotency-Key": str(time.time_ns())}
        )
        assert answer.status_code in (200, 201), answer.get_data(as_text=True)
        result["answered_ms"] = (time.perf_counter() - started) * 1000
        result["answered_cpu_ms"] = (time.process_time() - cpu) * 1000
        result["answered_mb"] = peak_mib()
    print(json.dumps(result))


if __name__ == "__main__":
    main(*sys.argv[1:])
