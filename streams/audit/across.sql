-- One KPI's windows that end in ($after, $upto]: the measure of each source, then $across over the sources of a scope.

INSERT INTO computed
WITH chosen AS (
    SELECT *, ((time + $zone) // $every + 1) * $every - $zone AS first FROM counted
    WHERE kind = $kind AND quantity = $quantity AND ($field = '' OR field = $field)
        AND time >= $after - $window AND time < $upto
),
held AS (
    SELECT chosen.*, district, first + step.range * $every AS "end"
    FROM chosen JOIN unit USING (unit) CROSS JOIN range(0, $window // $every) AS step
    WHERE "end" > $after AND "end" <= $upto
),
merged AS (
    SELECT unit, district, source, "end", count(*) AS n, sum(millionths(value)) AS total,
        min(value) AS low, max(value) AS high,
        min({'time': time, 'value': value}) FILTER ($ends) AS oldest,
        max({'time': time, 'value': value}) FILTER ($ends) AS newest,
        count(*) FILTER (value <= coalesce($at_most, value) AND value >= coalesce($at_least, value)) AS hits,
        list_sort(list(value) FILTER ($rank IS NOT NULL)) AS ordered
    FROM held GROUP BY unit, district, source, "end"
),
own AS (
    SELECT unit, district, "end", n, measured(
        $measure, n, total, low, high, oldest, newest, hits, ordered, $rank, $per_ms
    ) AS value FROM merged
),
combined AS (
    SELECT coalesce(unit, district, $place) AS scope, "end", sum(n)::BIGINT AS n, $factor * CASE $across
        WHEN 'max' THEN max(value) WHEN 'min' THEN min(value)
        WHEN 'sum' THEN sum(millionths(value))::DOUBLE / 1000000.0::DOUBLE
        WHEN 'mean' THEN sum(millionths(value))::DOUBLE / 1000000.0::DOUBLE / count(*)
    END AS value
    FROM own WHERE value IS NOT NULL  -- a source without a value is no share in any
    GROUP BY GROUPING SETS (("end", unit), ("end", district), ("end"))
)
SELECT $kpi, scope, "end", value, n, off_by(value, $rank, $factor) FROM combined;
