"""The page of a result, ``result.report("report.html")``: one file that opens in any browser, offline."""

from jopt.results.page.writing import write as write
