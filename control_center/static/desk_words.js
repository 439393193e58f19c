// @ts-check
// The desk's words.
import { lang } from "./page.js";

const VI = {
  desk: "Trực ban", open: "Đang mở", unclaimed: "Chưa nhận", mine: "Của tôi", ledger: "Sổ cái", missing: "Thiếu", clocks: "Đồng hồ", rejections: "Không tính được",
  search: "Tìm địa bàn, nội dung  ( / )", logout: "Đăng xuất", sound: "Âm báo", on: "bật", off: "tắt",
  severity: "Mức", at: "Lúc", unit: "Địa bàn", field: "Lĩnh vực", content: "Nội dung", state: "Trạng thái", who: "Người xử lý", due: "Hạn",
  unack_active: "Chưa nhận", ack_active: "Đã nhận", unack_returned: "Đã hết, chưa nhận", ack_returned: "Đã hết", closed: "Đã đóng",
  sending: "Đang gửi…", recorded: "Đã ghi, chờ bộ xử lý…", take: "Nhận", comment: "Ghi chú", send: "Gửi", left: "còn {age}", over: "quá {age}",
  none: "Không có cảnh báo nào khớp", all: "Không có cảnh báo nào đang mở", choose: "Chọn một cảnh báo để xem chi tiết",
  cause: "Nguyên nhân thường gặp", consequence: "Nếu không xử lý", response: "Việc cần làm", owner: "Đơn vị chủ trì", log: "Nhật ký",
  commentPlace: "Ghi lại việc đã làm, đã gọi cho ai…", number: "Con số này từ đâu", history: "6 giờ của chỉ tiêu", gone: "không tìm thấy cảnh báo này",
  raise: "Hệ thống mở cảnh báo", return: "Đã về mức an toàn", reraise: "Vượt ngưỡng trở lại", acknowledge: "đã nhận", commented: "ghi chú",
  close: "Đã đóng", byValue: "giá trị", readings: "{n} số đo từ {m} nguồn", readingsOnly: "{n} số đo", window: "cửa sổ {from} – {to}", asOf: "số đo mới nhất {age} trước",
  provisional: "tạm tính, cửa sổ chưa đóng", final: "đã chốt", corrected: "đã sửa lần {n}", unknown: "chưa có số liệu", source: "căn cứ",
  choosing: "chọn", searching: "tìm", closing: "đóng", rate: "10 phút qua: {n} cảnh báo mới (mục tiêu ≤ 1)",
  time: "Thời điểm", reason: "Lý do", topic: "Chủ đề", detail: "Chi tiết", payload: "Nội dung gửi", place: "Vị trí", noRejections: "Chưa có thông điệp nào bị loại",
  refused: "Bị máy chủ MQTT từ chối", readOnly: "Tài khoản này chỉ xem", replayOnly: "Đang phát lại: chỉ xem, không thao tác được", since: "mở {age}", device: "thiết bị", offline: "không gửi được: mất kết nối với máy chủ",
  explaining: "Đang lần theo con số này về tới từng thông điệp…", explain: "Lần về tới từng thông điệp", explainPage: "Mở thành trang", explainThen: "Lúc mở cảnh báo",
  matches: "Tính lại từ thông điệp: khớp", differs: "Tính lại từ thông điệp: KHÔNG khớp,", looksBack: "tính cả số đo từ {time}", linkHere: "Liên kết tới cửa sổ này", toNewest: "Giá trị mới nhất",
  formula: "Công thức", bounds: "So với", units: "Địa bàn góp vào: {n}", sources: "Nguồn góp vào: {n}", noSources: "Không tìm thấy nguồn nào trong nhật ký", shareOf: "{n} số đo",
  air: "VN_AQI: trung bình giờ của {n} chất ở các trạm, mới nhất trước", panes: "Ô thời gian: {n}", paneFrom: "Ô", quantity: "Đại lượng", sum: "Tổng", least: "Nhỏ nhất", largest: "Lớn nhất",
  messages: "Thông điệp: {n} trong {m}, mới nhất trước", read: "Đã đọc {records} bản ghi nhật ký, {messages} thông điệp, giải mã {decoded}.", position: "phân vùng {partition}, vị trí {offset}, thứ tự {ordinal}",
  observedAt: "quan trắc {time}", reduced: "Chỉ hiện phần bộ xử lý dùng; phần còn lại được che.", linkedTo: "Cùng phiếu: {step} lúc {time}", moreRows: "và {n} dòng nữa", historyTo: "6 giờ tới cửa sổ này",
  counted: "được tính", duplicate: "trùng", too_late: "quá muộn", set_aside: "để riêng", rejected: "bị loại", other_window: "thuộc cửa sổ khác",
  readingsAll: "Số đo", asking: "Đang hỏi máy chủ…", kind: "Loại nguồn", sourceName: "Nguồn",
  byKind: "Một giờ qua, theo loại nguồn", perMinute: "Mỗi phút trong một giờ qua", most: "nhiều nhất {n}/phút", noKind: "(không rõ loại)",
  held: { bridge: "Chờ ở cầu nối", journal: "Chờ trong nhật ký", checkpoint: "Chờ điểm lưu" },
  nothingReceived: "Một giờ qua chưa nhận được thông điệp nào", onlyPart: "Quá nhiều dòng: bảng này chỉ cộng một phần của giờ qua.",
  ledgerNote: "Mỗi thông điệp nhận được có đúng một kết cục. Cầu nối đếm số đã nhận, bộ xử lý đếm các kết cục; hai phép đếm độc lập, chênh lệch phải bằng 0.",
  missingBySource: "Thiếu theo nguồn, nhiều nhất trước", restarts: "Đánh số lại", gaps: "Khoảng trống gần đây",
  nothingMissing: "Không nguồn nào có đánh số bị thiếu thông điệp", moreGaps: "và {n} khoảng nữa", olderMissing: "{n} thông điệp ở các khoảng cũ hơn",
  lost: "mất {n}", between: "giữa {from} và {to}", timeUnknown: "không rõ giờ",
  missingNote: "Nguồn tự đánh số thông điệp: đã gửi = đã đến + thiếu. Số bị nhảy cách là thông điệp không tới được cửa của ta; khi tới muộn, khoảng trống được lấp lại. Giờ là giờ quan trắc của thông điệp ngay trước và ngay sau.",
  clock: "Đồng hồ", newestTime: "Số đo mới nhất ghi lúc", lastHeard: "Nghe lần cuối", meaning: "Nghĩa là", ahead: "nhanh {age}", behind: "chậm {age}",
  clocksOff: "Đồng hồ lệch: {n} trong {m} nguồn biết được giờ; {k} nguồn không gửi giờ hoặc lâu không nói", clocksRight: "Không đồng hồ nào lệch quá mức cho phép",
  aheadMeans: "Đồng hồ thiết bị chạy nhanh: cần chỉnh giờ", behindMeans: "Đồng hồ chậm, hoặc mọi thông điệp đều đến trễ: xem giờ thiết bị và đường truyền",
  clockNote: "Nêu ở đây khi nhanh hơn 5 giây hoặc chậm hơn 5 phút, tính theo thông điệp ít trễ nhất trong một giờ qua. Số đo nhanh quá 2 phút bị loại (“Ở tương lai”); chậm quá hạn của loại nguồn thì là quá muộn. Một đồng hồ lệch không đẩy được thời gian của nguồn khác.",
  notCounted: "Thông điệp không được tính, mới nhất trước", everyReason: "Tất cả", noneOfThese: "Không có trong 200 dòng mới nhất",
  rejectionNote: "Giữ nguyên cả nội dung. Bị loại: không dùng được. Riêng {late}: đọc được nhưng giờ quan trắc đã quá hạn của loại nguồn, nên không sửa số đã chốt nữa.",
};

/** @type {typeof VI} */
const EN = {
  desk: "Operators’ desk", open: "Open", unclaimed: "Unclaimed", mine: "Mine", ledger: "Ledger", missing: "Missing", clocks: "Clocks", rejections: "Not counted",
  search: "Find place or text  ( / )", logout: "Log out", sound: "Sound", on: "on", off: "off",
  severity: "Severity", at: "At", unit: "Place", field: "Field", content: "What", state: "State", who: "Who has it", due: "Due",
  unack_active: "Unclaimed", ack_active: "Claimed", unack_returned: "Over, unclaimed", ack_returned: "Over", closed: "Closed",
  sending: "Sending…", recorded: "Recorded, awaiting the processor…", take: "Claim", comment: "Comment", send: "Send", left: "{age} left", over: "{age} late",
  none: "No alert matches", all: "No open alerts", choose: "Choose an alert to see its details",
  cause: "Usual cause", consequence: "If nothing is done", response: "What to do", owner: "Owner", log: "Log",
  commentPlace: "Write down what was done, who was called…", number: "Where this number comes from", history: "6 hours of the indicator", gone: "there is no such alert",
  raise: "Raised by the system", return: "Back to a safe level", reraise: "Over the limit again", acknowledge: "claimed it", commented: "comment",
  close: "Closed", byValue: "value", readings: "{n} readings of {m} sources", readingsOnly: "{n} readings", window: "window {from} – {to}", asOf: "newest reading {age} ago",
  provisional: "provisional, the window is open", final: "final", corrected: "corrected, revision {n}", unknown: "no data yet", source: "by",
  choosing: "choose", searching: "find", closing: "close", rate: "Last 10 minutes: {n} new alerts (target ≤ 1)",
  time: "Time", reason: "Reason", topic: "Topic", detail: "Detail", payload: "Payload", place: "Where", noRejections: "No message has been rejected",
  refused: "Refused by the MQTT broker", readOnly: "This account is read only", replayOnly: "Replay: to be looked at only, nothing can be done", since: "open {age}", device: "device", offline: "not sent: the server cannot be reached",
  explaining: "Following this number back to its messages…", explain: "Follow it back to its messages", explainPage: "Open as a page", explainThen: "When the alert was raised",
  matches: "Computed again from the messages: matches", differs: "Computed again from the messages: DIFFERS,", looksBack: "readings since {time} count", linkHere: "Link to this window", toNewest: "Newest value",
  formula: "Formula", bounds: "Held against", units: "Contributing units: {n}", sources: "Contributing sources: {n}", noSources: "No source was found in the journal", shareOf: "{n} readings",
  air: "VN_AQI: hourly means of {n} pollutants at the stations, newest first", panes: "Panes: {n}", paneFrom: "Pane", quantity: "Quantity", sum: "Sum", least: "Least", largest: "Largest",
  messages: "Messages: {n} of {m}, newest first", read: "Read {records} journal records, {messages} messages, decoded {decoded}.", position: "partition {partition}, offset {offset}, ordinal {ordinal}",
  observedAt: "observed {time}", reduced: "Only what the processor uses is shown; the rest is hidden.", linkedTo: "Same ticket: {step} at {time}", moreRows: "and {n} more rows", historyTo: "6 hours up to this window",
  counted: "counted", duplicate: "duplicate", too_late: "too late", set_aside: "set aside", rejected: "rejected", other_window: "in another window",
  readingsAll: "Readings", asking: "Asking the server…", kind: "Kind", sourceName: "Source",
  byKind: "The last hour, by kind of source", perMinute: "Each minute of the last hour", most: "at most {n}/min", noKind: "(kind unknown)",
  held: { bridge: "Waiting at the bridge", journal: "In the journal", checkpoint: "For a checkpoint" },
  nothingReceived: "No message was received in the last hour", onlyPart: "Too many rows: this table adds up a part of the last hour only.",
  ledgerNote: "Every message received has exactly one outcome. The bridge counts what it received, the processor counts the outcomes: two independent counts, and the difference must be 0.",
  missingBySource: "Missing by source, most first", restarts: "Renumbered", gaps: "Newest gaps",
  nothingMissing: "No source that numbers its messages has lost one", moreGaps: "and {n} more gaps", olderMissing: "{n} messages in older gaps",
  lost: "{n} lost", between: "between {from} and {to}", timeUnknown: "unknown time",
  missingNote: "Sources number their own messages: sent = arrived + missing. A number that was skipped is a message that never came to our door; when it comes late, the gap is filled again. Times are the observed times of the messages just before and just after.",
  clock: "Clock", newestTime: "Newest reading, by its clock", lastHeard: "Last heard", meaning: "Meaning", ahead: "{age} ahead", behind: "{age} behind",
  clocksOff: "Clocks that are off: {n} of {m} sources whose time is known; {k} give no times or have been silent for long", clocksRight: "No clock is off by more than is allowed",
  aheadMeans: "The device’s clock is ahead: set it", behindMeans: "The clock is behind, or every message comes late: look at its clock and its line",
  clockNote: "Listed when more than 5 s ahead or more than 5 min behind, by the least delayed messages of the last hour. Readings more than 2 minutes ahead are rejected (“In the future”); those behind by more than their kind allows are too late. A clock that is off cannot push the time of other sources.",
  notCounted: "Messages that were not counted, newest first", everyReason: "All", noneOfThese: "None among the newest 200 rows",
  rejectionNote: "Kept with their payloads. Rejected: could not be used. The {late}: could be read, but observed longer ago than their kind allows, so that they do not amend what is closed.",
};

export const deskWords = lang === "en" ? EN : VI;

/** Fill {names} in. @param {string} pattern @param {Record<string, string>} values */
export function fill(pattern, values) {
  return pattern.replace(/\{(\w+)\}/g, (_, name) => values[name] ?? "");
}
