// @ts-check
// Why a message was not counted, in words: the closed list of sensors/errors.py.
import { lang } from "./page.js";

/** @type {Record<string, [string, string]>} */
const REASONS = {
  bad_topic: ["Chủ đề sai dạng", "Topic of another form"],
  unknown_unit: ["Mã địa bàn không có", "No such unit"],
  unknown_kind: ["Loại nguồn không có", "No such kind"],
  bad_payload: ["Nội dung hỏng", "Broken payload"],
  too_large: ["Quá lớn", "Too large"],
  bad_version: ["Phiên bản không đọc được", "Version not read"],
  unknown_quantity: ["Đại lượng không có", "No such quantity"],
  wrong_unit: ["Sai đơn vị đo", "Wrong unit of measure"],
  not_a_number: ["Không phải số", "Not a number"],
  implausible: ["Ngoài khoảng hợp lý", "Implausible"],
  in_the_future: ["Ở tương lai", "In the future"],
  clock_not_set: ["Đồng hồ chưa đặt", "Clock not set"],
  unknown_event: ["Sự kiện không có", "No such event"],
  missing_data: ["Thiếu dữ liệu", "Data missing"],
  bad_record: ["Bản ghi nhật ký lạ", "No bridge's journal record"],
  too_many_sources: ["Quá nhiều nguồn", "Too many sources"],
  too_late: ["Quá muộn", "Too late"],
};

/** @param {string} reason */
export function reasonWords(reason) {
  return REASONS[reason]?.[lang === "en" ? 1 : 0] ?? reason;
}
