-- One KPI's windows that end in ($after, $upto], history beside what was worked out here.

INSERT INTO compared
WITH district_known AS (
    SELECT unit, district, if($by_day, (known_from + $zone + 86399999) // 86400000 * 86400000 - $zone, known_from)
        + if(known_from = 0, 0, $future_ms) AS known_from
    FROM unit JOIN known USING (part)
),
-- A window is known when every message that can be part of it is in the journal.
scope AS (
    SELECT coalesce(unit, district, $place) AS scope, max(known_from) AS known_from FROM district_known
    GROUP BY GROUPING SETS ((unit), (district), ())
),
mine AS (FROM computed WHERE kpi = $kpi AND "end" > $after AND "end" <= $upto),
theirs AS (SELECT * REPLACE (if(isnan(value), NULL, value) AS value) FROM told WHERE kpi = $kpi AND "end" > $after AND "end" <= $upto),
-- A window is closed in a unit when history has it, or the unit's own time is past it. In a district it can be told
-- when all its own units have closed it, and must be when all units of the place have: partitions close it as a whole.
closed AS (
    SELECT mine."end", unit.unit, district,
        theirs.scope IS NOT NULL OR mine."end" <= coalesce(settled.upto, 0) AS is_closed
    FROM mine JOIN unit ON unit.unit = mine.scope
    LEFT JOIN theirs ON theirs.scope = mine.scope AND theirs."end" = mine."end"
    LEFT JOIN settled ON settled.unit = mine.scope AND settled.kind = $kind
),
all_closed AS (
    SELECT coalesce(unit, district, $place) AS scope, "end", bool_and(is_closed) AS may,
        if(unit IS NOT NULL, may, bool_and(may) OVER (PARTITION BY "end")) AS must
    FROM closed GROUP BY GROUPING SETS (("end", unit), ("end", district), ("end"))
),
beside AS (
    SELECT coalesce(mine.scope, theirs.scope) AS scope, coalesce(mine."end", theirs."end") AS "end",
        theirs.value AS told, theirs.n AS told_n, mine.value AS computed, mine.n AS computed_n, mine.tolerance
    FROM mine FULL JOIN theirs ON mine.scope = theirs.scope AND mine."end" = theirs."end"
)
SELECT $kpi, beside.scope, beside."end", told, told_n, computed, computed_n, CASE
    WHEN beside."end" - $reach < scope.known_from THEN 'unknown'
    WHEN NOT coalesce(if(told_n IS NULL, must, may), true) THEN 'open'
    WHEN told_n IS NULL THEN 'missing'
    WHEN computed_n IS NULL THEN 'extra'
    WHEN told_n = computed_n AND (told IS NULL) = (computed IS NULL) AND coalesce(abs(told - computed) <= tolerance, true)
        THEN 'equal'
    ELSE 'different'
END
FROM beside LEFT JOIN scope USING (scope) LEFT JOIN all_closed USING (scope, "end");
