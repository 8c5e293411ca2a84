"""The style sheet of the pages."""

from typing import Final

STYLE: Final = """
:root{color-scheme:light dark;--ground:#fff;--text:#1c2330;--quiet:#525c6e;--line:#d5dae3;--panel:#f5f7fa;
--s0:#0a7d5a;--s1:#c4372b;--s2:#2f66b3;--s3:#8a5a00;--warn:#8a5a00;--warn-ground:#fff6e0}
@media(prefers-color-scheme:dark){:root{--ground:#14181f;--text:#e6e9ef;--quiet:#a5adbd;--line:#343d4b;--panel:#1d232d;
--s0:#43c59e;--s1:#ff8a7a;--s2:#7fb0ff;--s3:#e0b050;--warn:#f0c674;--warn-ground:#2e2817}}
*{box-sizing:border-box}
body{margin:0;background:var(--ground);color:var(--text);font:16px/1.5 system-ui,sans-serif}
main{max-width:60rem;margin:0 auto;padding:1.5rem 1rem 3rem}
h1{font-size:1.4rem;margin:0;overflow-wrap:anywhere}h2{font-size:1.15rem;margin:2rem 0 .5rem}
.sub,.note,footer,.nothing{color:var(--quiet);overflow-wrap:anywhere}.sub{margin:.25rem 0 1rem}.note{font-size:.9rem}
.warning{background:var(--warn-ground);color:var(--warn);border-left:4px solid currentColor;padding:.5rem .75rem}
.tiles{display:grid;grid-template-columns:repeat(auto-fit,minmax(9rem,1fr));gap:.75rem;margin:1rem 0}
.tiles div{background:var(--panel);border:1px solid var(--line);border-radius:.5rem;padding:.6rem .8rem}
dt{color:var(--quiet);font-size:.85rem}dd{margin:0;font-size:1.35rem;font-weight:600}
figure{margin:1rem 0}figcaption{font-size:.95rem;font-weight:600;margin-bottom:.25rem}
.chart,.wide{overflow-x:auto}.chart svg{display:block;width:100%;min-width:34rem;height:auto}
svg text{font:12px system-ui,sans-serif;fill:var(--quiet)}.grid{stroke:var(--line);stroke-width:1}
polyline{fill:none;stroke-width:2.2;stroke-linejoin:round}
.s0{--c:var(--s0)}.s1{--c:var(--s1)}.s2{--c:var(--s2)}.s3{--c:var(--s3)}
polyline{stroke:var(--c)}circle{fill:var(--c);stroke:var(--c);stroke-width:2}circle.hollow{fill:none}
.limit{stroke:var(--s1);stroke-dasharray:6 4}svg .limit-text{fill:var(--s1)}
.legend{list-style:none;display:flex;flex-wrap:wrap;gap:.25rem 1.25rem;margin:.25rem 0 0;padding:0;font-size:.9rem}
.legend li::before{content:"";display:inline-block;width:.8em;height:.8em;border-radius:50%;margin-right:.4em;
background:var(--c);border:2px solid var(--c);vertical-align:-.05em}.legend li.hollow::before{background:none}
table{border-collapse:collapse;font-size:.95rem;font-variant-numeric:tabular-nums}
th,td{text-align:left;padding:.3rem 1.5rem .3rem 0;border-bottom:1px solid var(--line);vertical-align:top}
th{color:var(--quiet);font-weight:600}td{white-space:nowrap}
td.long{white-space:normal;overflow-wrap:anywhere}
@media(max-width:34rem){th,td{padding-right:.75rem}table{font-size:.85rem}}
tr.worse td:nth-last-child(-n+2){color:var(--s1);font-weight:600}tr.better td:nth-last-child(-n+2){color:var(--s0)}
footer{margin-top:2.5rem;font-size:.85rem}
""".strip()
