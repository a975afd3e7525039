// Costs beside the fee, as every form that asks for a simulation has them: what the API wants to be told.
export function frictionsOf(form) {
  const value = (name) => form.elements[name].value.trim();
  return {
    half_spread: value("half_spread"), slippage: value("slippage"), participation: hundredth(value("volume_percent")),
    frictions: {
      slippage_volatility: value("slippage_volatility"), slippage_impact: value("slippage_impact"), rest: value("rest"), fee_in: value("fee_in"),
      latency_ms: value("latency_ms"), fee_tiers: value("fee_tiers").split(/\s+/).filter(Boolean).map(tier),
    },
  };
}

// "12.5" percent is "0.125", digit by digit: 12.5 / 100 in binary is not always that.
function hundredth(percent) {
  const [whole, part = ""] = percent.split(".");
  if (!/^\d{1,2}$/.test(whole) || !/^\d*$/.test(part)) throw new Error(`Write a share of a candle's volume as percent below 100, such as 12.5, not ${percent}`);
  return `0.${whole.padStart(2, "0")}${part}`;
}

function tier(text) {
  const found = /^([\d.]+)=([\d.]+)(?:\/([\d.]+))?$/.exec(text);
  if (!found) throw new Error(`Write a fee tier as VOLUME=TAKER/MAKER, such as 1000000=0.0009/0.0008, not ${text}`);
  const [, volume, taker, maker = taker] = found;
  return { volume, taker_fee: taker, maker_fee: maker };
}
