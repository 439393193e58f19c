-- One KPI's windows that end in ($after, $upto], over all readings of a unit, a former district and the place.

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
    SELECT coalesce(unit, district, $place) AS scope, "end", count(*) AS n, sum(millionths(value)) AS total,
        min(value) AS low, max(value) AS high,
        min({'time': time, 'value': value}) FILTER ($ends) AS oldest,
        max({'time': time, 'value': value}) FILTER ($ends) AS newest,
        count(*) FILTER (value <= coalesce($at_most, value) AND value >= coalesce($at_least, value)) AS hits,
        list_sort(list(value) FILTER ($rank IS NOT NULL)) AS ordered
    FROM held GROUP BY GROUPING SETS (("end", unit), ("end", district), ("end"))
),
valued AS (
    SELECT scope, "end", n, $factor * measured(
        $measure, n, total, low, high, oldest, newest, hits, ordered, $rank, $per_ms
    ) AS value FROM merged
)
SELECT $kpi, scope, "end", value, n, off_by(value, $rank, $factor) FROM valued;
