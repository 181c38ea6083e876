// The layout of the timeline, in numbers: everything has a place, nothing overlaps, a million is reached.
import { test } from "node:test";
import assert from "node:assert/strict";
import { BOX_PX, Mapped, cells, lay, monthAtY, rowOf, tableOf } from "../../node/src/gallery/assets/layout.js";
import { told } from "./rows.js";

const MEASURES = [
  { width: 1256, row: 224, gap: 6, dayGap: 20, month: 76, label: 32 },
  { width: 378, row: 118, gap: 3, dayGap: 10, month: 58, label: 24 },
  { width: 120, row: 118, gap: 3, dayGap: 10, month: 58, label: 24 },
];

test("every photo stands in one row, inside the column, in order", () => {
  const table = tableOf(told(20000));
  for (const measure of MEASURES) {
    const layout = lay(table, measure);
    let next = 0;
    for (let row = 0; row < layout.rows; row += 1) {
      const made = cells(table, layout, row);
      for (const one of made) { assert.equal(one.photo, next); next += 1; }
      const last = made[made.length - 1];
      assert.ok(last.x + last.width <= measure.width + 0.6, `row ${row} ends at ${last.x + last.width}`);
      if (row > 0) assert.ok(layout.y[row] >= layout.y[row - 1] + layout.height[row - 1] + measure.gap - 1e-3);
      assert.ok(layout.height[row] > 10 && layout.height[row] < measure.row * 2.2, `height ${layout.height[row]}`);
    }
    assert.equal(next, table.total);
  }
});

test("rows are full but for the last of a month, and one beside a panorama", () => {
  const table = tableOf(told(20000));
  const layout = lay(table, MEASURES[0]);
  const ends = new Set(layout.monthRow);
  let open = 0;
  for (let row = 0; row < layout.rows; row += 1) {
    const made = cells(table, layout, row);
    const last = made[made.length - 1];
    if (last.x + last.width < MEASURES[0].width - 1 && !ends.has(row + 1) && layout.height[row] < MEASURES[0].row * 1.59) open += 1;
  }
  assert.equal(open, 0);
});

test("a million photos are laid out within a second, and each month has its place", () => {
  const table = tableOf(told(1000000, 3000));
  lay(tableOf(told(20000)), MEASURES[0]);
  // The time of this process: what else runs here does not count.
  const began = process.cpuUsage().user;
  const layout = lay(table, MEASURES[0]);
  const took = (process.cpuUsage().user - began) / 1000;
  console.log(`layout of 1,000,000: ${took.toFixed(0)} ms, ${layout.rows} rows, ${Math.round(layout.total)} px`);
  assert.ok(took < 1000);
  assert.ok(layout.total > BOX_PX * 3);
  table.months.forEach((_, month) => assert.equal(monthAtY(layout, layout.monthY[month] + 1), month));
  assert.equal(rowOf(layout, table.total - 1), layout.rows - 1);
});

test("small steps move at true speed however tall the content is, and both ends are reached", () => {
  const map = new Mapped(40000000, 900);
  assert.equal(map.box, BOX_PX);
  map.goTo(20000000);
  const before = map.top;
  map.scroll(map.scrolled + 120);
  assert.equal(map.top, before + 120);
  map.scroll(map.boxEnd);
  assert.equal(map.top, map.end);
  map.goTo(map.end);
  map.scroll(0);
  assert.equal(map.top, 0);
  map.goTo(12345678);
  assert.ok(map.scrolled >= 0 && map.scrolled <= map.boxEnd);
  // When all is quiet the box is where the content is, and the content has not moved.
  map.scroll(map.scrolled + 500);
  const stays = map.top;
  map.goTo(stays);
  assert.equal(map.top, stays);
  assert.equal(map.scrolled, map.home);
});
