'use strict';
const cds = require('@sap/cds');

// Documents are numbered, and one is reversed once, by one of its own.
module.exports = cds.service.impl(function () {
  let numbers = 0;
  const number = (head) => {
    numbers += 1;
    head.MaterialDocument = String(5000000000 + numbers);
    head.MaterialDocumentYear = '2026';
    (head.to_MaterialDocumentItem || []).forEach((item, i) => {
      item.MaterialDocument = head.MaterialDocument;
      item.MaterialDocumentYear = head.MaterialDocumentYear;
      item.MaterialDocumentItem = String(i + 1).padStart(4, '0');
      (item.to_SerialNumbers || []).forEach((serial) => {
        const { Material, MaterialDocument, MaterialDocumentYear, MaterialDocumentItem } = item;
        Object.assign(serial, { Material, MaterialDocument, MaterialDocumentYear, MaterialDocumentItem });
      });
    });
  };
  this.before('CREATE', 'A_MaterialDocumentHeader', (req) => {
    number(req.data);
    if (req.data.PostingDate === '1999-12-31') {
      req.reject({ code: 'M7/053', status: 400, message: 'Posting only possible in periods 2026/11 and 2026/10', target: 'PostingDate' });
    }
  });
  this.on('Cancel', async (req) => {
    const { A_MaterialDocumentHeader: Head, A_MaterialDocumentItem: Item } = this.entities;
    const { MaterialDocument, MaterialDocumentYear } = req.data;
    const items = await SELECT.from(Item).where({ MaterialDocument, MaterialDocumentYear });
    if (!items.length) return req.reject({ code: 'M7/062', status: 400, message: 'Document does not exist' });
    if (items.some((i) => i.GoodsMovementIsCancelled)) return req.reject({ code: 'M7/185', status: 400, message: 'The material document is already reversed' });
    const back = {
      GoodsMovementCode: '06', PostingDate: req.data.PostingDate,
      to_MaterialDocumentItem: items.map((i) => ({
        ...i, ReversedMaterialDocument: i.MaterialDocument, ReversedMaterialDocumentYear: i.MaterialDocumentYear, ReversedMaterialDocumentItem: i.MaterialDocumentItem,
      })),
    };
    number(back);
    await UPDATE(Item).set({ GoodsMovementIsCancelled: true }).where({ MaterialDocument, MaterialDocumentYear });
    await INSERT.into(Head).entries(back);
    delete back.to_MaterialDocumentItem;
    return back;
  });
});
