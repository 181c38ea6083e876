// Where every photo stands, known before anything is drawn. Pure: numbers in, numbers out.

/** A scroll box is never taller than this; browsers stop between 16 and 33 million pixels. */
export const BOX_PX = 6000000;

/** One byte a photo: width by height is 2 to the power of (byte - 128) / 32. */
export const RATIOS = Float32Array.from({ length: 256 }, (_, byte) => Math.min(6, Math.max(0.3, 2 ** ((byte - 128) / 32))));

/**
 * The table of the timeline as flat arrays.
 * @typedef {object} Table
 * @property {number} total photos in all
 * @property {string[]} months newest first
 * @property {Uint32Array} monthAt first photo of each month, and the total at the end
 * @property {Uint8Array} ratio a byte a photo
 * @property {Uint32Array} dayAt first photo of each day, and the total at the end
 * @property {Uint8Array} day its number in the month, 0 for none
 */

/** @param {{total: number, months: {m: string, days: [number, number][], r: string}[]}} told @returns {Table} */
export function tableOf(told) {
  const days = told.months.reduce((sum, month) => sum + month.days.length, 0);
  const count = told.months.reduce((sum, month) => sum + month.days.reduce((all, day) => all + day[1], 0), 0);
  const table = {
    total: count, months: told.months.map((month) => month.m),
    monthAt: new Uint32Array(told.months.length + 1), ratio: new Uint8Array(count),
    dayAt: new Uint32Array(days + 1), day: new Uint8Array(days),
  };
  let at = 0;
  let nth = 0;
  told.months.forEach((month, index) => {
    table.monthAt[index] = at;
    const bytes = atob(month.r);
    for (let i = 0; i < bytes.length && at + i < count; i += 1) table.ratio[at + i] = bytes.charCodeAt(i);
    for (const [day, photos] of month.days) {
      table.dayAt[nth] = at;
      table.day[nth] = day;
      at += photos;
      nth += 1;
    }
  });
  table.monthAt[told.months.length] = count;
  table.dayAt[days] = count;
  return table;
}

/** Whether photos of two tables stand in the same places. @param {Table} one @param {Table} other @returns {boolean} */
export function isLike(one, other) {
  const same = (/** @type {ArrayLike<any>} */ a, /** @type {ArrayLike<any>} */ b) => {
    let at = a.length === b.length ? 0 : -1;
    while (at >= 0 && at < a.length) at = a[at] === b[at] ? at + 1 : -1;
    return at >= 0;
  };
  return same(one.months, other.months) && same(one.monthAt, other.monthAt) && same(one.dayAt, other.dayAt)
    && same(one.day, other.day) && same(one.ratio, other.ratio);
}

/**
 * @typedef {object} Measure
 * @property {number} width of the column
 * @property {number} row height that rows aim at
 * @property {number} gap between photos
 * @property {number} dayGap before a photo that begins a day
 * @property {number} month height of a month's heading
 * @property {number} label height of the strip with days above a row
 */

/**
 * The whole timeline: rows with their place, height and first photo.
 * @typedef {object} Layout
 * @property {Measure} measure
 * @property {number} rows
 * @property {Uint32Array} first first photo of each row, and the total at the end
 * @property {Float64Array} y top of each row's photos
 * @property {Float32Array} height of each row's photos
 * @property {Uint8Array} labels whether a strip with days stands above the row
 * @property {Float64Array} monthY top of each month's heading, and the height of all at the end
 * @property {Uint32Array} monthRow first row of each month, and the number of rows
 * @property {number} total height
 */

/** The smallest index whose value is above, in a list that rises. @param {ArrayLike<number>} list
 *  @param {number} value @param {number} [size] @returns {number} */
export function above(list, value, size = list.length) {
  let [low, high] = [0, size];
  while (low < high) {
    const middle = (low + high) >>> 1;
    if (list[middle] > value) high = middle; else low = middle + 1;
  }
  return low;
}

/** Photos from `at` on that one row takes, and what it measures.
 *  @param {Table} table @param {Measure} measure @param {number} at @param {number} end @param {number} nth day at `at` */
function fill(table, measure, at, end, nth) {
  let [next, day, ratios, gaps] = [at, nth, 0, 0];
  let last = { photos: 0, height: 0, day: nth };
  while (next < end) {
    const begins = next === table.dayAt[day + 1];
    if (begins) day += 1;
    if (next > at) gaps += begins ? measure.dayGap : measure.gap;
    ratios += RATIOS[table.ratio[next]];
    next += 1;
    const height = (measure.width - gaps) / ratios;
    if (height <= measure.row) {
      // Whichever comes nearer to the height that is wanted: with this photo, or without it.
      const nearer = last.height - measure.row < measure.row - height && last.height < measure.row * 1.35;
      if (last.photos > 0 && (nearer || height < measure.row * 0.5)) return { ...last, height: Math.min(last.height, measure.row * 1.6) };
      return { photos: next - at, height, day };
    }
    last = { photos: next - at, height, day };
  }
  // The end of a month is left open, unless it is nearly full.
  return { ...last, height: last.height < measure.row * 1.2 ? last.height : measure.row };
}

/** @param {Table} table @param {Measure} measure @returns {Layout} */
export function lay(table, measure) {
  const most = table.total + 1;
  const [first, y, height, labels] = [new Uint32Array(most), new Float64Array(most), new Float32Array(most), new Uint8Array(most)];
  const monthY = new Float64Array(table.months.length + 1);
  const monthRow = new Uint32Array(table.months.length + 1);
  let [row, top, day] = [0, 0, 0];
  for (let month = 0; month < table.months.length; month += 1) {
    monthY[month] = top;
    monthRow[month] = row;
    top += measure.month;
    let at = table.monthAt[month];
    const end = table.monthAt[month + 1];
    while (at < end) {
      while (table.dayAt[day + 1] <= at && day < table.day.length - 1) day += 1;
      const filled = fill(table, measure, at, end, day);
      const dated = table.dayAt[day] === at || filled.day > day;
      const labelled = dated && table.day[filled.day] > 0;
      if (labelled) top += measure.label;
      first[row] = at;
      labels[row] = labelled ? 1 : 0;
      y[row] = top;
      height[row] = filled.height;
      top += filled.height + measure.gap;
      at += filled.photos;
      day = filled.day;
      row += 1;
    }
  }
  first[row] = table.total;
  monthY[table.months.length] = top;
  monthRow[table.months.length] = row;
  return {
    measure, rows: row, total: top, monthY, monthRow,
    first: first.slice(0, row + 1), y: y.slice(0, row), height: height.slice(0, row), labels: labels.slice(0, row),
  };
}

/** The row of a photo. @param {Layout} layout @param {number} photo */
export const rowOf = (layout, photo) => above(layout.first, photo, layout.rows) - 1;
/** The month of a photo. @param {Table} table @param {number} photo */
export const monthOf = (table, photo) => above(table.monthAt, photo, table.months.length) - 1;
/** The day of a photo, as a place in the list of days. @param {Table} table @param {number} photo */
export const dayOf = (table, photo) => above(table.dayAt, photo, table.day.length) - 1;
/** The month at a height. @param {Layout} layout @param {number} at */
export const monthAtY = (layout, at) => Math.max(0, above(layout.monthY, at, layout.monthY.length - 1) - 1);

/** The photos of one row with their left edges and widths.
 *  @param {Table} table @param {Layout} layout @param {number} row
 *  @returns {{photo: number, x: number, width: number, day: number}[]} `day` is 1 or more where one begins */
export function cells(table, layout, row) {
  const [from, to] = [layout.first[row], layout.first[row + 1]];
  const { gap, dayGap, width } = layout.measure;
  const made = [];
  let day = dayOf(table, from);
  let x = 0;
  for (let photo = from; photo < to; photo += 1) {
    const begins = photo === table.dayAt[day] || photo === table.dayAt[day + 1];
    if (photo === table.dayAt[day + 1]) day += 1;
    if (photo > from) x += begins ? dayGap : gap;
    const wide = Math.min(RATIOS[table.ratio[photo]] * layout.height[row], width);
    made.push({ photo, x, width: wide, day: begins ? table.day[day] : 0 });
    x += wide;
  }
  return made;
}

/**
 * Content of any height in a box of bounded height. Small steps move at true speed; a leap of the
 * scroll bar maps in proportion; when all is quiet the box is set to where the content is.
 */
export class Mapped {
  /** @param {number} content @param {number} view heights */
  constructor(content, view) {
    this.content = content;
    this.view = view;
    this.box = Math.min(content, BOX_PX);
    this.top = 0;
    this.scrolled = 0;
  }
  /** Farthest that content and box go. */
  get end() { return Math.max(0, this.content - this.view); }
  get boxEnd() { return Math.max(0, this.box - this.view); }
  /** Where the box belongs when the content is at its place. */
  get home() { return this.end > 0 ? Math.round((this.top / this.end) * this.boxEnd) : 0; }
  /** How much is added to a place in the content to give one in the box. */
  get shift() { return this.scrolled - this.top; }
  /** Goes to a place in the content; the box must then be scrolled to `scrolled`. @param {number} top */
  goTo(top) {
    this.top = Math.min(this.end, Math.max(0, top));
    this.scrolled = this.box === this.content ? this.top : this.home;
  }
  /** The box was scrolled. @param {number} to @returns {boolean} whether it was a leap */
  scroll(to) {
    const by = to - this.scrolled;
    this.scrolled = to;
    if (this.box === this.content) { this.top = to; return false; }
    const leap = Math.abs(by) > this.view * 3 || to <= 0 || to >= this.boxEnd;
    if (leap && Math.abs(by) > this.view * 3) this.top = this.boxEnd > 0 ? (to / this.boxEnd) * this.end : 0;
    else this.top = Math.min(this.end, Math.max(0, this.top + by));
    return leap;
  }
}
