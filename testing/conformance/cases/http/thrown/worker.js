export default {
  fetch() {
    throw new Error("thrown on purpose");
  },
};
