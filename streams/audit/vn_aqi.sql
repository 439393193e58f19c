-- Hourly VN_AQI by station (Decision 1459/QĐ-TCMT), then $across over the stations of a scope. Dust goes by Nowcast
-- over twelve hours, with weights over the hours that exist; gases by the hour's own mean.

INSERT INTO computed
WITH hour AS (
    SELECT source, unit, quantity AS pollutant, ((time + $zone) // $every + 1) * $every - $zone AS ended,
        count(*) AS n, sum(millionths(value))::DOUBLE / 1000000.0::DOUBLE / count(*) AS mean
    FROM counted WHERE kind = $kind AND time >= $after - 12 * $every AND time < $upto
    GROUP BY ALL
),
seen AS (
    SELECT hour.*, back.range AS back, ended + back.range * $every AS "end"
    FROM hour CROSS JOIN range(0, 12) AS back
    WHERE "end" > $after AND "end" <= $upto AND pollutant IN (SELECT pollutant FROM aqi_point)
),
weighed AS (
    SELECT *, if(max(mean) OVER station > 0,
        greatest(0.5::DOUBLE, min(mean) OVER station / max(mean) OVER station), 1.0::DOUBLE) AS weight
    FROM seen WINDOW station AS (PARTITION BY source, "end", pollutant)
),
concentration AS (
    SELECT source, unit, "end", pollutant, sum(n) AS n, CASE
        WHEN pollutant NOT IN ('pm25', 'pm10') THEN max(mean) FILTER (back = 0)
        WHEN count(*) FILTER (back < 3) >= 2 THEN sum(weight ** back * mean) / sum(weight ** back)
    END AS level
    FROM weighed GROUP BY source, unit, "end", pollutant
),
segment AS (
    SELECT pollutant, concentration AS begun, aqi, lead(concentration) OVER line AS ended, lead(aqi) OVER line AS top
    FROM aqi_point WINDOW line AS (PARTITION BY pollutant ORDER BY concentration)
),
indexed AS (
    SELECT source, unit, "end", concentration.pollutant, n,
        if(ended IS NULL, aqi, aqi + (level - begun) / (ended - begun) * (top - aqi)) AS aqi
    FROM concentration LEFT JOIN segment ON segment.pollutant = concentration.pollutant
        AND level >= begun AND (ended IS NULL OR level < ended)
),
station AS (
    SELECT unit, "end", sum(n)::BIGINT AS n, max(aqi) AS aqi FROM indexed GROUP BY source, unit, "end"
    HAVING count(aqi) FILTER (pollutant IN ('pm25', 'pm10')) > 0
),
-- Rounded half up; a hair's breadth from a half, either whole number is right.
bounded AS (
    SELECT station.*, district, floor(aqi + 0.5::DOUBLE) AS value,
        if(abs(aqi + 0.5::DOUBLE - round(aqi + 0.5::DOUBLE)) < 1e-9, 1.0, 1e-9) AS tolerance
    FROM station JOIN unit USING (unit)
)
SELECT $kpi, coalesce(unit, district, $place), "end", CASE $across
        WHEN 'max' THEN max(value) WHEN 'min' THEN min(value) WHEN 'sum' THEN sum(value) WHEN 'mean' THEN avg(value)
    END, sum(n)::BIGINT, max(tolerance)
FROM bounded GROUP BY GROUPING SETS (("end", unit), ("end", district), ("end"));
