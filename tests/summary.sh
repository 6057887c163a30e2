#!/bin/sh
# usage: summary.sh LOG...
# What the test programs with these logs found: for each its result and the
# closing lines it printed, at the end the sum over all in a line
# "N passed, N failed[, N skipped]".  A test that prints no closing line, such
# as a script, counts as one, and so does one that failed for another reason
# than its closing line tells, or that was not run at all.

closing='^[0-9]+%: Checks: [0-9]+, Failures: [0-9]+, Errors: [0-9]+|^[0-9]+ passed, [0-9]+ failed'

for log in "$@"; do
  result=$(sed -n 's/^:test-result: *//p' "${log%.log}.trs" 2> /dev/null)
  echo "== ${log%.log}: ${result:-not run}"
  [ -z "$result" ] || grep -aE "$closing" "$log"
done | awk '
  function close_test() {
    if (result ~ /^(SKIP|XFAIL)/)
      skipped++
    else if (result != "" && (result == "PASS" ? said == 0 : said_failed == 0))
      if (result == "PASS") passed++; else failed++
  }
  /^== / {
    close_test()
    result = $0; sub (/^.*: /, "", result)
    said = said_failed = 0
    print; next
  }
  { print; said++ }
  /Checks:/ {
    gsub (/[^0-9 ]/, ""); bad = $3 + $4
    passed += $2 - bad; failed += bad; said_failed += bad
  }
  / passed, / { passed += $1; failed += $3; said_failed += $3 }
  END {
    close_test()
    printf "%d passed, %d failed", passed, failed
    if (skipped) printf ", %d skipped", skipped
    print ""
  }'
