"""report: the tables and the plot of docs/BENCHMARKS.md.

Results are kept in docs/benchmarks.json, so that a run of some cases leaves
the others as they were. What people wrote in the document before the marker
stays.
"""
import datetime
import json
import os
import platform

MARK = "<!-- written by make bench from here on -->"
HEADS = {
    "wall": ("wall s", "%.2f"), "cpu": ("CPU s/GiB", "%.2f"),
    "own": ("own MiB", "%.0f"), "peak": ("peak MiB", "%.0f"),
    "first": ("first request s", "%.4f"), "show": ("show s", "%.3f"),
    "bound_ratio": ("time to the bound", "%.3f"),
    "copies": ("copies sent", "%.3f"),
    "gave": ("gave MiB", "%.1f"),
    "btget_sent": ("by a btget", "%.2f"), "aria2_sent": ("an aria2", "%.2f"),
    "libtorrent_sent": ("a libtorrent", "%.2f"),
    "wakes": ("wake-ups/s", "%.1f"), "cpu_ms": ("CPU ms/s", "%.2f"),
}
COLORS = ("#1a7f37", "#8c959f", "#0969da", "#bc4c00", "#8250df", "#bf3989")
FIRST = ("floor", "btget")  # the others by name
PLOTTED = ("get-1m", "get-256k", "get-8", "get-64", "seed-1", "seed-8",
           "verify", "create")


def load(root):
    try:
        with open(os.path.join(root, "docs", "benchmarks.json"),
                  encoding="utf-8") as data:
            return json.load(data)
    except OSError:
        return {}


def machine():
    cpu = platform.machine()
    with open("/proc/cpuinfo", encoding="utf-8") as lines:
        for line in lines:
            if line.startswith("model name"):
                cpu = line.split(":")[1].strip()
                break
    return "%s, %d cores, Linux %s" % (cpu, os.cpu_count(),
                                       platform.release().split("-")[0])


def note(bench, case, found):
    return {
        "title": case.title, "note": case.note, "columns": case.columns,
        "machine": machine(), "date": str(datetime.date.today()),
        "size": getattr(case, "size", bench.args.size),
        "rounds": bench.args.rounds, "clients": found,
    }


def cell(figures, column):
    if column not in figures:
        return "–"
    text = HEADS[column][1] % figures[column]
    ratio = figures.get(column + "_ratio")
    return "%s (%.2f×)" % (text, ratio) if ratio else text


def table(result):
    columns = result["columns"]
    lines = ["| client | " + " | ".join(HEADS[c][0] for c in columns) + " |",
             "|---|" + "---:|" * len(columns)]
    for client, figures in result["clients"].items():
        if figures:
            cells = [cell(figures, c) for c in columns]
        else:
            cells = ["failed"] + [""] * (len(columns) - 1)
        lines.append("| %s | %s |" % (client, " | ".join(cells)))
    return "\n".join(lines)


# ---- the plot ----

def plot(results):
    """CPU time as a ratio to the floor, a group of bars for each case."""
    shown = [n for n in PLOTTED if n in results]
    names = list(dict.fromkeys(
        c for n in shown for c in results[n]["clients"] if c != "floor"))
    rows, y = [], 40
    top = max([f.get("cpu_ratio", 1) for n in shown
               for f in results[n]["clients"].values()] + [1])
    scale = 520 / min(top, 8)
    for name in shown:
        rows.append('<text x="10" y="%d" font-weight="bold">%s</text>' % (
            y + 12, results[name]["title"]))
        y += 18
        for client, figures in results[name]["clients"].items():
            ratio = figures.get("cpu_ratio")
            if client == "floor" or not ratio:
                continue
            rows.append('<text x="110" y="%d" text-anchor="end">%s</text>' % (
                y + 11, client))
            rows.append('<rect x="118" y="%d" width="%.1f" height="11" '
                        'fill="%s"/>' % (
                            y + 1, min(ratio, 8) * scale,
                            COLORS[names.index(client) % len(COLORS)]))
            rows.append('<text x="%.1f" y="%d">%.2f</text>' % (
                122 + min(ratio, 8) * scale, y + 11, ratio))
            y += 15
        y += 8
    line = 118 + scale
    head = ('<svg xmlns="http://www.w3.org/2000/svg" width="700" '
            'height="%d" font-family="sans-serif" font-size="11">\n'
            '<rect width="100%%" height="100%%" fill="white"/>\n'
            '<text x="10" y="20" font-size="14">CPU time, floor = 1; '
            'shorter is better</text>\n' % (y + 10))
    floor = ('<line x1="%.1f" x2="%.1f" y1="30" y2="%d" stroke="black" '
             'stroke-dasharray="3 3"/>\n' % (line, line, y))
    return head + "\n".join(rows) + "\n" + floor + "</svg>\n"


# ---- the document ----

def document(results, order):
    out = [MARK, "", "![CPU time of each client](benchmarks.svg)", ""]
    for name in order:
        if name not in results:
            continue
        r = results[name]
        out += ["### %s (`%s`)" % (r["title"], name), "", table(r), "",
                "%s. %s; %d MiB, medians of %d; %s." % (
                    r["note"][0].upper() + r["note"][1:], r["date"],
                    r["size"], r["rounds"], r["machine"]), ""]
    return "\n".join(out)


def save(root, results, order):
    docs = os.path.join(root, "docs")
    for result in results.values():
        result["clients"] = dict(sorted(
            result["clients"].items(),
            key=lambda c: (FIRST.index(c[0]) if c[0] in FIRST else
                           len(FIRST), c[0].lower())))
    with open(os.path.join(docs, "benchmarks.json"), "w",
              encoding="utf-8") as out:
        json.dump(results, out, indent=1)
        out.write("\n")
    with open(os.path.join(docs, "benchmarks.svg"), "w",
              encoding="utf-8") as out:
        out.write(plot(results))
    path = os.path.join(docs, "BENCHMARKS.md")
    before = ""
    if os.path.exists(path):
        with open(path, encoding="utf-8") as data:
            before = data.read().partition(MARK)[0]
    with open(path, "w", encoding="utf-8") as out:
        out.write(before + document(results, order))
