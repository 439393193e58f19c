// @ts-check
// The words of the leaders' page.
import { lang } from "./page.js";

const VI = {
  critical: "{n} việc khẩn cấp", unclaimed: "{n} việc khẩn cấp, {m} việc chưa ai nhận", warning: "{n} việc cần chú ý", notice: "Không có việc khẩn cấp",
  calm: "Không có việc nào đang mở", waiting: "Đang lấy số liệu…",
  criticalCount: "khẩn cấp", warningCount: "cảnh báo", noticeCount: "lưu ý", open: "Việc đang mở", decide: "Cần lãnh đạo quyết",
  nobody: "Chưa ai nhận", has: "{who} đang xử lý", over: "quá hạn {age}", returned: "đã về mức an toàn", more: "và {n} việc nữa",
  missed: "Chưa đạt mục tiêu", met: "{n} chỉ tiêu đạt mục tiêu", unknownTargets: "Chưa đánh giá được", others: "Số liệu khác", targets: "Chỉ tiêu và mục tiêu",
  goal: "mục tiêu", readings: "{n} số đo", asOf: "{age} trước", provisional: "tạm tính", corrected: "đã sửa", noValue: "chưa có số liệu", old: "cũ",
  changed: "Có gì đổi", unknown: "Chưa biết", nothingChanged: "Không có thay đổi đáng kể", made: "Bản tóm tắt lập lúc {time}, {age} trước",
  since: "so với {time}", noSummary: "Chưa có bản tóm tắt nào; số liệu dưới đây là trực tiếp", live: "số liệu trực tiếp",
  refused: "Cần đăng nhập hoặc mã xem (?token=)",
};

/** @type {typeof VI} */
const EN = {
  critical: "{n} critical", unclaimed: "{n} critical, {m} unclaimed", warning: "{n} to watch", notice: "Nothing critical",
  calm: "Nothing is open", waiting: "Fetching figures…",
  criticalCount: "critical", warningCount: "warnings", noticeCount: "advisories", open: "Open now", decide: "For leaders to decide",
  nobody: "Nobody has it", has: "{who} has it", over: "{age} overdue", returned: "back to a safe level", more: "and {n} more",
  missed: "Targets missed", met: "Targets met: {n}", unknownTargets: "Cannot be judged yet", others: "Other figures", targets: "Indicators and targets",
  goal: "target", readings: "{n} readings", asOf: "{age} ago", provisional: "provisional", corrected: "corrected", noValue: "no data yet", old: "old",
  changed: "What changed", unknown: "What we do not know", nothingChanged: "No notable change", made: "Summary made at {time}, {age} ago",
  since: "since {time}", noSummary: "No summary has been made yet; the figures below are live", live: "live figures",
  refused: "Log in, or bring the wall’s token (?token=)",
};

export const leaderWords = lang === "en" ? EN : VI;
