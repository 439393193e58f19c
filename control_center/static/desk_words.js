// @ts-check
// The desk's words.
import { lang } from "./page.js";

const VI = {
  desk: "Trực ban", open: "Đang mở", unclaimed: "Chưa nhận", mine: "Của tôi", rejections: "Bị loại và sổ cái",
  search: "Tìm địa bàn, nội dung  ( / )", logout: "Đăng xuất", sound: "Âm báo", on: "bật", off: "tắt",
  severity: "Mức", at: "Lúc", unit: "Địa bàn", field: "Lĩnh vực", content: "Nội dung", state: "Trạng thái", who: "Người xử lý", due: "Hạn",
  unack_active: "Chưa nhận", ack_active: "Đã nhận", unack_returned: "Đã hết, chưa nhận", ack_returned: "Đã hết", closed: "Đã đóng",
  sending: "Đang gửi…", recorded: "Đã ghi, chờ bộ xử lý…", take: "Nhận", comment: "Ghi chú", send: "Gửi", left: "còn {age}", over: "quá {age}",
  none: "Không có cảnh báo nào khớp", all: "Không có cảnh báo nào đang mở", choose: "Chọn một cảnh báo để xem chi tiết",
  cause: "Nguyên nhân thường gặp", consequence: "Nếu không xử lý", response: "Việc cần làm", owner: "Đơn vị chủ trì", log: "Nhật ký",
  commentPlace: "Ghi lại việc đã làm, đã gọi cho ai…", number: "Con số này từ đâu", history: "6 giờ của chỉ tiêu", gone: "không tìm thấy cảnh báo này",
  raise: "Hệ thống mở cảnh báo", return: "Đã về mức an toàn", reraise: "Vượt ngưỡng trở lại", acknowledge: "đã nhận", commented: "ghi chú",
  close: "Đã đóng", byValue: "giá trị", readings: "{n} số đo từ {m} nguồn", window: "cửa sổ {from} – {to}", asOf: "số đo mới nhất {age} trước",
  provisional: "tạm tính, cửa sổ chưa đóng", final: "đã chốt", corrected: "đã sửa lần {n}", unknown: "chưa có số liệu", source: "căn cứ",
  choosing: "chọn", searching: "tìm", closing: "đóng", rate: "10 phút qua: {n} cảnh báo mới (mục tiêu ≤ 1)",
  time: "Thời điểm", reason: "Lý do", topic: "Chủ đề", detail: "Chi tiết", payload: "Nội dung gửi", place: "Vị trí", noRejections: "Chưa có thông điệp nào bị loại",
  refused: "Bị máy chủ MQTT từ chối", readOnly: "Tài khoản này chỉ xem", replayOnly: "Đang phát lại: chỉ xem, không thao tác được", since: "mở {age}", device: "thiết bị", offline: "không gửi được: mất kết nối với máy chủ",
  readingsAll: "Số đo", older: "cũ hơn",
};

/** @type {typeof VI} */
const EN = {
  desk: "Operators’ desk", open: "Open", unclaimed: "Unclaimed", mine: "Mine", rejections: "Rejections and ledger",
  search: "Find place or text  ( / )", logout: "Log out", sound: "Sound", on: "on", off: "off",
  severity: "Severity", at: "At", unit: "Place", field: "Field", content: "What", state: "State", who: "Who has it", due: "Due",
  unack_active: "Unclaimed", ack_active: "Claimed", unack_returned: "Over, unclaimed", ack_returned: "Over", closed: "Closed",
  sending: "Sending…", recorded: "Recorded, awaiting the processor…", take: "Claim", comment: "Comment", send: "Send", left: "{age} left", over: "{age} late",
  none: "No alert matches", all: "No open alerts", choose: "Choose an alert to see its details",
  cause: "Usual cause", consequence: "If nothing is done", response: "What to do", owner: "Owner", log: "Log",
  commentPlace: "Write down what was done, who was called…", number: "Where this number comes from", history: "6 hours of the indicator", gone: "there is no such alert",
  raise: "Raised by the system", return: "Back to a safe level", reraise: "Over the limit again", acknowledge: "claimed it", commented: "comment",
  close: "Closed", byValue: "value", readings: "{n} readings of {m} sources", window: "window {from} – {to}", asOf: "newest reading {age} ago",
  provisional: "provisional, the window is open", final: "final", corrected: "corrected, revision {n}", unknown: "no data yet", source: "by",
  choosing: "choose", searching: "find", closing: "close", rate: "Last 10 minutes: {n} new alerts (target ≤ 1)",
  time: "Time", reason: "Reason", topic: "Topic", detail: "Detail", payload: "Payload", place: "Where", noRejections: "No message has been rejected",
  refused: "Refused by the MQTT broker", readOnly: "This account is read only", replayOnly: "Replay: to be looked at only, nothing can be done", since: "open {age}", device: "device", offline: "not sent: the server cannot be reached",
  readingsAll: "Readings", older: "older",
};

export const deskWords = lang === "en" ? EN : VI;

/** Fill {names} in. @param {string} pattern @param {Record<string, string>} values */
export function fill(pattern, values) {
  return pattern.replace(/\{(\w+)\}/g, (_, name) => values[name] ?? "");
}
