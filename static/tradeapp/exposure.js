// Net exposure: one bar for each coin, stacked by bot, in quote.

export function exposure(element, { fetched, plot, template, legend, colour, get, empty }) {
  const bots = JSON.parse(element.dataset.bots);
  let coins = null;
  return fetched(element, draw, async () => {
    coins = (await get(`/api/v1/coordinator?account=${element.dataset.account}`)).exposures;
  });

  function draw() {
    if (!coins) return;
    if (!coins.length) return empty(element, "No bot holds a coin.");
    const names = coins.map((coin) => coin.asset);
    // A book may hold coins after its bot is gone.
    const holders = new Map(coins.flatMap((coin) => coin.slices.map((part) => [part.book, part.bot])));
    const traces = [...holders].map(([book, name]) => ({
      type: "bar", name, x: names, marker: { color: tone(book) },
      y: coins.map((coin) => coin.slices.filter((part) => part.book === book).reduce((sum, part) => sum + Number(part.value), 0)),
      hovertemplate: "%{x} %{y:,.2f}<extra>%{fullData.name}</extra>",
    }));
    const layout = template(element);
    Object.assign(layout, { barmode: "stack", bargap: 0.5, hovermode: "closest", dragmode: false });
    layout.xaxis = { ...layout.xaxis, type: "category", fixedrange: true, showspikes: false };
    layout.yaxis = { ...layout.yaxis, tickformat: ",.0f", fixedrange: true, rangemode: "tozero" };
    plot(element, traces, layout);
    legend(element, traces.map((trace) => ({ name: trace.name, colour: trace.marker.color })));
  }

  function tone(book) {
    const bot = bots.find((one) => one.book === book);
    return bot ? colour(`--bot-${bot.colour}`) : colour("--faint");
  }
}
