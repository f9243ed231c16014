-- From here on the forecast's sums are views over what is folded and what is not yet. Programs from before take them for tables
-- that they may replace, so they cannot migrate back: this file makes them say so before they begin.
COMMENT ON TABLE read_models IS 'Which version of each read model the tables hold. Sums of the forecast are views since version 4.';
