"""What bench.py measured as JSON, a Markdown table and a plot (gnuplot: PNG and SVG)."""

import json
import subprocess

OURS = "imgtrain"


def write(run, folder):
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "peers.json").write_text(json.dumps(run, indent=1, ensure_ascii=False) + "\n")
    (folder / "peers.md").write_text(table(run))
    plot(run, folder)
    print(table(run))


def columns(run):
    return [(transform, cores) for transform in ("train", "eval") for cores in run["settings"]["cores"]]


def table(run):
    machine, settings = run["machine"], run["settings"]
    ours = next((row for row in run["loaders"] if row["name"] == OURS), None)
    first = f"train_{settings['cores'][0]}"
    most = settings["cores"][-1]
    heads = ["loader"]
    for transform, cores in columns(run):
        what = "training" if transform == "train" else "evaluation"
        heads.append(f"{what}, {cores} core{plural(cores)}")
    heads += ["imgtrain is", f"memory, {most} core{plural(most)}"]
    lines = [
        "<!-- Written by scripts/bench-peers. -->",
        f"Images a second: median (lowest–highest) of {settings['rounds']} interleaved rounds, each loader in a process of"
        f" its own on the same cores; {settings['images']:,} JPEGs of {settings['source']}, warm page cache, uint8 batches"
        f" of {settings['batch']}. {machine['cpu']}, {machine['simd']}, {machine['cores']} cores, {machine['date']}.",
        "",
        "| " + " | ".join(heads) + " |",
        "|---" * len(heads) + "|",
    ]
    for row in run["loaders"]:
        cells = [row["title"]]
        for transform, cores in columns(run):
            cells.append(figure(row.get(f"{transform}_{cores}")))
        rate = row.get(first)
        of_originals = ours and rate and not row["name"].endswith("_max500") and row["name"] != OURS
        cells.append(f"{ours[first]['median'] / rate['median']:.1f}x as fast" if of_originals else "")
        memory = row.get(f"train_{most}")
        cells.append(f"{memory['peak_mib']:,.0f} MiB" if memory else "")
        lines.append("| " + " | ".join(cells) + " |")
    lines.append("")
    lines += [f"Left out: {title} ({why})." for title, why in run["failed"].items()]
    lines.append("Versions: " + ", ".join(f"{name} {version}" for name, version in run["versions"].items()) + ".")
    return "\n".join(lines) + "\n"


def plural(count):
    return "" if count == 1 else "s"


def figure(value):
    if value is None:
        return ""
    return f"{value['median']:,.0f} ({value['min']:,.0f}–{value['max']:,.0f})"


def plot(run, folder):
    cores = run["settings"]["cores"][0]
    key = f"train_{cores}"
    rows = sorted((row for row in run["loaders"] if key in row), key=lambda row: row[key]["median"])
    if not rows:
        return
    machine = run["machine"]
    data = []
    for y, row in enumerate(rows):
        value = row[key]
        ours = row["name"].startswith(OURS)
        data.append(f"{value['median']} {y} {value['min']} {value['max']} {int(ours)}")
    ticks = ", ".join(f'"{row["title"]}" {y}' for y, row in enumerate(rows))
    labels = "\n".join(
        f'set label "{row[key]["median"]:,.0f}" at {row[key]["max"]}, {y} left offset 0.7,0 font ",10"'
        for y, row in enumerate(rows)
    )
    script = f"""
$rows << end
{chr(10).join(data)}
end
set encoding utf8
set title "Images a second on {cores} core{plural(cores)}, random resized crop to 224, uint8\\n\
{{/*0.75 {run['settings']['source']}, median and spread of {run['settings']['rounds']} round{plural(run['settings']['rounds'])}; \
{machine['cpu']}, {machine['simd']}}}"
set style fill solid 1.0 noborder
set xrange [0:{max(row[key]['max'] for row in rows) * 1.14}]
set yrange [-0.7:{len(rows) - 0.3}]
set ytics ({ticks}) nomirror scale 0 noenhanced textcolor rgb "#222222"
set xtics nomirror out textcolor rgb "#222222"
set grid xtics lc rgb "#dddddd" lt 1
set border 3 lc rgb "#888888"
set format x "%.0f"
unset key
{labels}
plot $rows using (0):2:(0):1:($2-0.32):($2+0.32):($5 == 1 ? 0x1f6f5c : 0x9aa5b1) with boxxyerror lc rgb variable, \\
  $rows using 1:2:3:4 with xerrorbars lc rgb "#333333" pt -1 lw 1.2
"""
    for terminal, name in (("pngcairo size 1100,620 font 'Sans,11'", "peers.png"), ("svg size 1100,620 font 'Sans,13'", "peers.svg")):
        subprocess.run(
            ["gnuplot"], input=f"set terminal {terminal}\nset output '{folder / name}'\n{script}", text=True, check=True
        )
