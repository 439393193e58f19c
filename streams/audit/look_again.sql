-- What history changed while the audit looked is not compared: the further look at a wrong window found something else.

WITH now_told AS (SELECT * REPLACE (if(isnan(value), NULL, value) AS value) FROM told_again)
UPDATE compared SET outcome = 'moving'
FROM (
    SELECT compared.kpi, compared.scope, compared."end" FROM compared
    LEFT JOIN now_told USING (kpi, scope, "end")
    WHERE list_contains($wrong, outcome) AND (told_n, told) IS DISTINCT FROM (n, value)
) AS moved
WHERE compared.kpi = moved.kpi AND compared.scope = moved.scope AND compared."end" = moved."end";
