// @ts-check
// Words, numbers and times in the page's language. Formatters are made once.
import { lang } from "./page.js";

const VI = {
  critical: "Khẩn cấp", warning: "Cảnh báo", notice: "Lưu ý", nodata: "Mất dữ liệu",
  live: "Trực tuyến", slow: "Chậm", down: "Mất kết nối", connecting: "Đang kết nối",
  data: "dữ liệu", retry: "thử lại sau", trying: "đang thử lại", silentFor: "im",
  workerLate: "Bộ xử lý im", refused: "mã xem không đúng", refusedBusy: "quá nhiều kênh",
  banner: "MẤT KẾT NỐI – số liệu trên màn hình là của {age} trước", bannerNever: "MẤT KẾT NỐI – chưa nhận được số liệu nào",
  alerts: "Cảnh báo đang mở", none: "Không có cảnh báo nào đang mở", more: "và {n} mục nữa",
  unclaimed: "Chưa nhận", returned: "đã hết", overdue: "quá", wholeCity: "Toàn TP", whole: "Toàn tỉnh",
  hours: "{n} giờ qua", units: "xã, phường, đặc khu", normal: "bình thường", alerting: "có cảnh báo", silent: "có nguồn im",
  note: "Sơ đồ – không phải ranh giới hành chính",
  replay: "PHÁT LẠI", replayed: "Phát lại", replayClock: "giờ phát lại",
  old: "cũ", noData: "chưa có số liệu", per1h: "/1h", same: "= 1h", unknownChange: "", provisional: "tạm tính", corrected: "đã sửa lần {n}",
  trendCorrected: "kỳ mới chốt đã sửa lần {n}", trendOpen: "tạm tính", trendMarks: "vạch: đã sửa",
  ledger: "Sổ thông điệp", received: "Đã nhận", accepted: "Hợp lệ", duplicate: "Trùng", too_late: "Quá muộn",
  rejected: "Bị loại", in_flight: "Đang xử lý", difference: "Chênh lệch", pending: "Chờ ở cầu nối", silentSources: "Nguồn im lặng",
  fault: "Lỗi hệ thống", faultWarning: "Cảnh báo hệ thống", faultsMore: "và {n} lỗi nữa",
  sent: "Gửi (đánh số)", arrived: "Đã đến", missing: "Thiếu",
  second: "giây", minute: "phút", hour: "giờ", day: "ngày",
};

/** @type {typeof VI} */
const EN = {
  critical: "Critical", warning: "Warning", notice: "Advisory", nodata: "No data",
  live: "Live", slow: "Slow", down: "Disconnected", connecting: "Connecting",
  data: "data", retry: "next try in", trying: "trying again", silentFor: "silent",
  workerLate: "Processor silent", refused: "wrong token", refusedBusy: "too many channels",
  banner: "DISCONNECTED – the figures on this screen are {age} old", bannerNever: "DISCONNECTED – no figures received yet",
  alerts: "Open alerts", none: "No open alerts", more: "and {n} more",
  unclaimed: "Unclaimed", returned: "over", overdue: "late", wholeCity: "Citywide", whole: "All units",
  hours: "last {n} hours", units: "communes, wards, zones", normal: "normal", alerting: "with alerts", silent: "silent sources",
  note: "Schematic – not administrative boundaries",
  replay: "REPLAY", replayed: "Replay", replayClock: "replayed time",
  old: "old", noData: "no data yet", per1h: "/1h", same: "= 1h", unknownChange: "", provisional: "provisional", corrected: "corrected ×{n}",
  trendCorrected: "last closed corrected ×{n}", trendOpen: "provisional", trendMarks: "ticks: corrected",
  ledger: "Message ledger", received: "Received", accepted: "Accepted", duplicate: "Duplicate", too_late: "Too late",
  rejected: "Rejected", in_flight: "In flight", difference: "Difference", pending: "Bridge pending", silentSources: "Silent sources",
  fault: "System fault", faultWarning: "System warning", faultsMore: "and {n} more",
  sent: "Sent (numbered)", arrived: "Arrived", missing: "Missing",
  second: "s", minute: "min", hour: "h", day: "d",
};

export const words = lang === "en" ? EN : VI;

const LOCALE = lang === "en" ? "en-GB" : "vi-VN";
/** @type {Map<number, Intl.NumberFormat>} */
const formats = new Map();

/** @param {number} value @param {number} [decimals] */
export function number(value, decimals = 0) {
  let format = formats.get(decimals);
  if (!format) {
    format = new Intl.NumberFormat(LOCALE, { minimumFractionDigits: decimals, maximumFractionDigits: decimals });
    formats.set(decimals, format);
  }
  return format.format(value);
}

/** "4 phút": how long, in its largest whole unit. @param {number} ms */
export function age(ms) {
  const seconds = Math.max(0, ms) / 1000;
  if (seconds < 60) return `${number(Math.floor(seconds))} ${words.second}`;
  if (seconds < 3600) return `${number(Math.floor(seconds / 60))} ${words.minute}`;
  if (seconds < 48 * 3600) return `${number(Math.floor(seconds / 3600))} ${words.hour}`;
  return `${number(Math.floor(seconds / 86400))} ${words.day}`;
}

/** "0,4 giây" under ten seconds, else as `age`. @param {number} ms */
export function fineAge(ms) {
  return ms < 10_000 ? `${number(Math.max(0, ms) / 1000, 1)} ${words.second}` : age(ms);
}

/** The one of `name_vi` and `name_en` that is the page's. @param {any} record @param {string} name @returns {string} */
export function own(record, name) {
  return record[`${name}_${lang}`] || record[`${name}_vi`] || record[`${name}_en`] || "";
}

/** What a value's newest windows are worth, where that is not final: corrected before provisional. @param {import("./series").Series} series */
export function trustOf(series) {
  const corrected = series.correctedLast();
  if (corrected) return words.corrected.replace("{n}", number(corrected));
  return series.isOpen() ? words.provisional : "";
}

/** Times of the place's zone. */
export class Times {
  /** @param {string} zone */
  constructor(zone) {
    const at = { timeZone: zone };
    this._second = new Intl.DateTimeFormat("en-GB", { ...at, hour: "2-digit", minute: "2-digit", second: "2-digit", hourCycle: "h23" });
    this._minute = new Intl.DateTimeFormat("en-GB", { ...at, hour: "2-digit", minute: "2-digit", hourCycle: "h23" });
    this._day = new Intl.DateTimeFormat("en-GB", { ...at, day: "2-digit", month: "2-digit", year: "numeric" });
    this._dayMonth = new Intl.DateTimeFormat("en-GB", { ...at, day: "2-digit", month: "2-digit" });
    this._weekday = new Intl.DateTimeFormat(LOCALE, { ...at, weekday: "long" });
    this._iso = new Intl.DateTimeFormat("sv-SE", { ...at, year: "numeric", month: "2-digit", day: "2-digit" });
    this.zone = zone;
  }

  /** "17:33:34" @param {number} ms */
  second(ms) { return this._second.format(ms); }

  /** "17:33" @param {number} ms */
  minute(ms) { return this._minute.format(ms); }

  /** "17:33", with "23/11" before it where that was not on the day of `now`. @param {number} ms @param {number} now */
  near(ms, now) {
    return this.date(ms) === this.date(now) ? this.minute(ms) : `${this._dayMonth.format(ms)} ${this.minute(ms)}`;
  }

  /** "17:33:34", with "23/11" before it where that was not on the day of `now`. @param {number} ms @param {number} now */
  exact(ms, now) {
    return this.date(ms) === this.date(now) ? this.second(ms) : `${this._dayMonth.format(ms)} ${this.second(ms)}`;
  }

  /** "17:33", or "23/11" where that was on another day. @param {number} ms @param {number} now */
  short(ms, now) {
    return this.date(ms) === this.date(now) ? this.minute(ms) : this._dayMonth.format(ms);
  }

  /** "Thứ Hai, 23/11/2026" @param {number} ms @param {boolean} [hasWeekday] */
  day(ms, hasWeekday = true) { return `${hasWeekday ? `${this._weekday.format(ms)}, ` : ""}${this._day.format(ms)}`; }

  /** "2026-11-23" @param {number} ms */
  date(ms) { return this._iso.format(ms); }
}

/** "Sở NN&MT": a department's name short enough for the wall. @param {string} name */
export function brief(name) {
  name = name.replace(/ *\(.*\)/, "").replace("Department of ", "");
  if (name.length <= 14) return name;
  for (const [long, short] of HEADS) {
    if (!name.startsWith(`${long} `)) continue;
    const rest = name.slice(/** @type {string} */ (long).length + 1);
    return short ? `${short} ${initials(rest)}` : capital(rest);
  }
  return initials(name);
}

const HEADS = [
  ["Cơ quan", ""], ["Sở", "Sở"], ["Trung tâm", "TT"], ["Ban Quản lý", "BQL"], ["Văn phòng", "VP"], ["Ủy ban nhân dân", "UBND"],
];

/** @param {string} text */
function capital(text) {
  return text.charAt(0).toUpperCase() + text.slice(1);
}

/** @param {string} words */
function initials(words) {
  return words
    .split(/[\s,–-]+/)
    .filter((word) => word && !["of", "the"].includes(word))
    .map((word) => (["và", "and"].includes(word) ? "&" : /^[\p{Lu}]{2,}$/u.test(word) ? word : /** @type {string} */ (word[0]).toUpperCase()))
    .join("");
}
